from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SiteConfig(AppConfig):
    name = "llm_proxy_site"
    verbose_name = "LLM Proxy"

    def ready(self) -> None:
        # Whose import registers the system checks.
        from llm_proxy_site import checks, front_checks, server_checks, tracing_checks  # noqa: F401
        from llm_proxy_site.roles import make_roles

        post_migrate.connect(make_roles, sender=self)
