"""`manage.py runserver`: Django's development server, on the same server class as `serve`."""

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand
from django.core.management.base import CommandError

from llm_proxy_site.server.daphne.server import ProxyServer
from llm_proxy_site.server.service import Duties
from llm_proxy_site.serving_lock import InUseError, counting, serving
from proxy.runtime import Runtime


class DevelopmentServer(ProxyServer):
    def __init__(self, application: Any, **options: Any) -> None:
        super().__init__(application, Duties(on_stop=Runtime.stop_current), **options)

    def run(self) -> None:
        try:
            with serving(), counting():
                super().run()
        except InUseError as problem:
            raise CommandError(str(problem)) from None
        if self.failure:
            raise CommandError(f"Cannot listen: {self.failure}")


class Command(DaphneCommand):
    server_cls = DevelopmentServer
