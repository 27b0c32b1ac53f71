"""`python -m llm_proxy_site.bench.load URL --case json-32 --seconds 4`: load a server, print what it saw.

A closed loop: each connection sends its next request when the last answer is complete. An open loop: requests
are sent at instants that are fixed beforehand, and count from these. One answer that is not as it should be
ends the run. The headers come as JSON on standard input, the Observation goes out so.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping

import aiohttp
import msgspec

from llm_proxy_site.bench.asking import Asker, LoadFailedError
from llm_proxy_site.bench.cases import CASES, Case
from llm_proxy_site.bench.measurement import Answer, Observation, observe_closed, observe_open

MAX_WARM_UP_SECONDS = 1.0
ANSWER_SECONDS = 30
PATIENCE_SECONDS = 5.0
"""Of an open loop: what has no answer by then has none in time."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm_proxy_site.bench.load", description=__doc__)
    parser.add_argument("base_url", help="with /v1")
    parser.add_argument("--case", choices=list(CASES), required=True)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    headers = json.load(sys.stdin)
    try:
        observation = asyncio.run(load(options.base_url, headers, CASES[options.case], options.seconds))
    except LoadFailedError as problem:
        sys.exit(str(problem))
    sys.stdout.write(msgspec.json.encode(observation).decode() + "\n")


async def load(base_url: str, headers: Mapping[str, str], case: Case, seconds: float) -> Observation:
    """Warm up, then measure for `seconds`. Raises LoadFailedError."""
    seconds = max(seconds, case.least_seconds)
    ask_all, observe = (_open_loop, observe_open) if case.rate else (_closed_loop, observe_closed)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=case.connections), headers={**headers, **case.headers}
    ) as session:
        began = time.perf_counter() + min(MAX_WARM_UP_SECONDS, seconds / 4)
        ended = began + seconds
        answers = await ask_all(Asker(session, base_url, case), case, ended)
    try:
        return observe(answers, began, ended, is_stream=case.is_stream)
    except ValueError:
        raise LoadFailedError(f"{base_url} completed no answer within {seconds} s.") from None


async def _closed_loop(asker: Asker, case: Case, deadline: float) -> list[Answer]:
    answers = []

    async def ask_again_and_again() -> None:
        while (now := time.perf_counter()) < deadline:
            answers.append(await _ask_patiently(asker, now))

    await asyncio.gather(*(ask_again_and_again() for _ in range(case.connections)))
    return answers


async def _ask_patiently(asker: Asker, began: float) -> Answer:
    try:
        return await asker.ask(began, give_up_at=began + ANSWER_SECONDS)
    except TimeoutError:
        raise LoadFailedError(f"A request was not answered within {ANSWER_SECONDS} s.") from None


async def _open_loop(asker: Asker, case: Case, deadline: float) -> list[Answer]:
    """As wrk2 does it: whoever answers late, or holds others up, has all of that time counted."""
    began = time.perf_counter()
    requests = []
    for number in range(int((deadline - began) * case.rate)):
        due = began + number / case.rate
        await asyncio.sleep(due - time.perf_counter())
        requests.append(asyncio.ensure_future(_ask_in_time(asker, due)))
    return await asyncio.gather(*requests)


async def _ask_in_time(asker: Asker, due: float) -> Answer:
    try:
        return await asker.ask(due, give_up_at=due + PATIENCE_SECONDS)
    except TimeoutError:
        given_up = time.perf_counter()
        return Answer(due, given_up, given_up, is_complete=False)


if __name__ == "__main__":
    main()
