from django.apps import AppConfig


class ProxyConfig(AppConfig):
    name = "proxy"

    def ready(self) -> None:
        from projects.providers import ask_for_names
        from proxy.configuration import provider_names

        ask_for_names(provider_names)
