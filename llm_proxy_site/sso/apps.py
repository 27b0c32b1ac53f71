from django.apps import AppConfig


class SsoConfig(AppConfig):
    name = "llm_proxy_site.sso"
    verbose_name = "Single sign-on"

    def ready(self) -> None:
        from llm_proxy_site.sso import checks  # noqa: F401  (registers the system checks)
