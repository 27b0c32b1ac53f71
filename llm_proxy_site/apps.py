from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "llm_proxy_site"
    verbose_name = "LLM Proxy"

    def ready(self) -> None:
        from llm_proxy_site import checks  # noqa: F401  (registers the system checks)
