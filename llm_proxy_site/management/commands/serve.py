"""`manage.py serve`: the server, ready for production."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection

from llm_proxy_site.addresses import Address, parse_address
from llm_proxy_site.scheduler import scheduling
from llm_proxy_site.schema import unapplied_migrations
from llm_proxy_site.serving_lock import InUseError, serving
from projects.models import MAX_DRAIN_SECONDS


class Command(BaseCommand):
    help = (
        "Run the proxy and its admin site. SIGTERM lets running requests end, SIGHUP reloads PROVIDERS_FILE."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", type=parse_address, default="127.0.0.1:8000", metavar="HOST:PORT")

    def handle(self, *, bind: Address, **options: Any) -> None:
        _refuse_unmigrated()
        self.check(tags=[Tags.database], databases=["default"])
        connection.close()
        try:
            serve(bind, on_ready=self._announce)
        except InUseError as problem:
            raise CommandError(str(problem)) from None

    def _announce(self, host: str, port: int) -> None:
        self.stdout.write(f"LLM Proxy on http://{Address(host, port)}")
        self.stdout.flush()


def serve(bind: Address, on_ready: Any) -> None:
    """Serve until SIGTERM. Raises CommandError if the address cannot be had, InUseError while the database
    is being restored.
    """
    from daphne.endpoints import build_endpoint_description_strings

    from llm_proxy_site.asgi import application
    from llm_proxy_site.server.client_limits import limits_of
    from llm_proxy_site.server.server import ProxyServer
    from proxy.configuration import configured_providers
    from proxy.runtime import Runtime
    from usage.price_book import PriceBook

    # What no request should wait for: a part of a second each.
    PriceBook()
    configured_providers()
    server = ProxyServer(
        application,
        endpoints=build_endpoint_description_strings(host=bind.host, port=bind.port),
        grace_seconds=settings.SHUTDOWN_GRACE_SECONDS,
        on_ready=on_ready,
        on_start=Runtime.current,  # so that what earlier processes have left is written at once
        on_drain=Runtime.drain_current,
        on_stop=Runtime.stop_current,
        on_reload=Runtime.reload_providers,
        # Daphne ends requests whose clients have hung up; a project may want them to be read on.
        application_close_timeout=MAX_DRAIN_SECONDS + 60,
        max_socket_message_bytes=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
        client_limits=limits_of(settings),
    )
    with serving(), scheduling():
        server.run()
    if server.failure:
        raise CommandError(f"Cannot listen on {bind}: {server.failure}")


def _refuse_unmigrated() -> None:
    try:
        waiting = unapplied_migrations()
    except Error as problem:
        raise CommandError(f"The database cannot be reached: {problem}") from None
    finally:
        connection.close()
    if waiting:
        raise CommandError("The database is not set up for this version. Run `python manage.py setup` first.")
