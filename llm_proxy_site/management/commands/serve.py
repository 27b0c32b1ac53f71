"""`manage.py serve`: the server, ready for production."""

import os
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.checks import ERROR, CheckMessage, Tags
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection

from llm_proxy_site.addresses import Address, parse_address
from llm_proxy_site.environment import BadValueError, parse_workers
from llm_proxy_site.logs import mark_lines
from llm_proxy_site.processes import MANAGE
from llm_proxy_site.scheduler import scheduling
from llm_proxy_site.schema import lacking_migrations
from llm_proxy_site.server.choice import SERVERS, server_on
from llm_proxy_site.server.supervision import Supervision
from llm_proxy_site.server_checks import problems_of_server, problems_of_workers
from llm_proxy_site.serving_lock import InUseError, counting, serving
from llm_proxy_site.start_report import report
from projects.models import MAX_DRAIN_SECONDS

SUPERVISOR = "llm_proxy_site.server.supervisor"


class Command(BaseCommand):
    help = (
        "Run the proxy and its admin site. SIGTERM lets running requests end. SIGHUP reloads PROVIDERS_FILE; "
        "with several workers it replaces them one after the other."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", type=parse_address, default="127.0.0.1:8000", metavar="HOST:PORT")
        parser.add_argument(
            "--workers", type=_workers, metavar="N|auto", help="processes that answer; default: WORKERS"
        )
        parser.add_argument("--server", choices=SERVERS, help="what answers; default: SERVER")
        # What the supervisor gives its workers.
        for option in (
            "--worker",
            "--listening-descriptor",
            "--supervisor-descriptor",
            "--counts-descriptor",
        ):
            parser.add_argument(option, type=int, help=SUPPRESS)

    def handle(
        self,
        *,
        bind: Address,
        workers: int | None = None,
        server: str | None = None,
        worker: int | None = None,
        listening_descriptor: int | None = None,
        supervisor_descriptor: int | None = None,
        counts_descriptor: int | None = None,
        **options: Any,
    ) -> None:
        count = workers or settings.WORKERS
        name = server or settings.SERVER
        self._refuse([*problems_of_server(name), *problems_of_workers(count)])
        _refuse_unmigrated()
        if worker is not None and listening_descriptor is not None and supervisor_descriptor is not None:
            mark_lines(worker=worker, pid=os.getpid())
            if counts_descriptor is not None:
                from proxy.metrics.metrics import Metrics

                Metrics.share(counts_descriptor, number=worker, workers=count)
            serve(bind, name, supervision=Supervision.over(listening_descriptor, supervisor_descriptor))
            return
        self.check(tags=[Tags.database], databases=["default"])
        connection.close()
        report(bind, name, count)
        if count > 1:
            supervise(bind, name, count)
        serve(bind, name, on_ready=self._announce)

    def _refuse(self, problems: list[CheckMessage]) -> None:
        for problem in problems:
            if problem.level >= ERROR:
                raise CommandError(f"{problem.msg} ({problem.id}) {problem.hint}")

    def _announce(self, host: str, port: int) -> None:
        self.stdout.write(f"LLM Proxy on http://{Address(host, port)}")
        self.stdout.flush()


def supervise(bind: Address, server: str, count: int) -> None:
    """Become the supervisor: a new program in this process, without all that Django has loaded. Its workers
    get the environment without what files added to it, so that each reads the files as they are then. `-P`:
    what lies in the working directory is not ours.
    """
    supervisor = [sys.executable, "-P", "-m", SUPERVISOR, f"--bind={bind}", f"--workers={count}"]
    logs = [f"--log-level={settings.LOG_LEVEL}", f"--log-format={settings.LOG_FORMAT}"]
    worker = [sys.executable, str(MANAGE), "serve", f"--workers={count}", f"--server={server}"]
    environment = settings.ENVIRONMENT.inherited
    search = os.pathsep.join(filter(None, (str(MANAGE.parent), environment.get("PYTHONPATH"))))
    environment = {**environment, "PYTHONPATH": search}
    os.execve(sys.executable, [*supervisor, *logs, "--", *worker], environment)  # noqa: S606 (our own)


def serve(
    bind: Address,
    name: str,
    *,
    on_ready: Any = lambda host, port: None,
    supervision: Supervision | None = None,
) -> None:
    """Serve until SIGTERM. Raises CommandError if the address cannot be had, or while the database is being
    restored.
    """
    from llm_proxy_site.asgi import application
    from llm_proxy_site.server.client_limits import limits_of
    from llm_proxy_site.server.orders import Grace
    from llm_proxy_site.server.service import Duties
    from proxy.configuration import configured_providers
    from proxy.runtime import Runtime
    from usage.price_book import PriceBook

    # What no request should wait for: a part of a second each.
    PriceBook()
    configured_providers()
    duties = Duties(
        grace=Grace(stop=settings.SHUTDOWN_GRACE_SECONDS, restart=settings.RESTART_GRACE_SECONDS),
        supervision=supervision,
        on_ready=on_ready,
        on_start=Runtime.current,  # so that what earlier processes have left is written at once
        on_drain=Runtime.drain_current,
        on_cut_off=Runtime.interrupt_current,
        on_stop=Runtime.stop_current,
        on_reload=Runtime.reload_providers,
        max_drain_seconds=MAX_DRAIN_SECONDS + 60,
        max_socket_message_bytes=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
        client_limits=limits_of(settings),
    )
    server = server_on(bind, name, application, duties)
    try:
        with serving(), counting(), scheduling():
            server.run()
    except InUseError as problem:
        raise CommandError(str(problem)) from None
    if server.failure:
        raise CommandError(f"Cannot listen on {bind}: {server.failure}")
    if server.has_failed:
        raise CommandError("The server did not end well; its log says why.")


def _workers(text: str) -> int:
    try:
        return parse_workers(text)
    except BadValueError as problem:
        raise ArgumentTypeError(f"{problem}") from None


def _refuse_unmigrated() -> None:
    try:
        lacking = lacking_migrations()
    except Error as problem:
        raise CommandError(f"The database cannot be reached: {problem}") from None
    finally:
        connection.close()
    if lacking:
        raise CommandError("The database is not set up for this version. Run `python manage.py setup` first.")
