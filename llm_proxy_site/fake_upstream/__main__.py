"""`python -m llm_proxy_site.fake_upstream --bind 127.0.0.1:0` serves until SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
import sys

from .app import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm_proxy_site.fake_upstream", description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1:0", type=_host_and_port, metavar="HOST:PORT")
    parser.add_argument("--no-record", action="store_true", help="remember no requests, only count them")
    options = parser.parse_args()
    host, port = options.bind
    asyncio.run(_serve_until_signalled(host, port, record=not options.no_record))


async def _serve_until_signalled(host: str, port: int, *, record: bool) -> None:
    serving = asyncio.ensure_future(serve(host, port, _announce, record=record))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()


def _announce(base_url: str) -> None:
    sys.stdout.write(f"Fake upstream on {base_url}\n")
    sys.stdout.flush()


def _host_and_port(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator:
        raise argparse.ArgumentTypeError("write it as HOST:PORT")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    main()
