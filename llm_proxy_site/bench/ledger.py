"""`python -m llm_proxy_site.bench.ledger ROWS`: a ledger with so many rows, to be measured.

The database that DATABASE_URL names must be new and empty: it is filled with made-up requests of 90 days. A
line of JSON then says what can be done with it; each line of standard input names one of these acts, and is
answered with the milliseconds that it took. Ends with its standard input.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import django
from django.core.management import call_command
from django.db import connection, transaction
from uuid_utils.compat import uuid7

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_proxy_site.settings")  # noqa: TID251 (Django's own)
django.setup()

from llm_proxy_site.bench.ledger_pages import pages  # noqa: E402
from projects.models import Project  # noqa: E402
from tokens import lifecycle  # noqa: E402
from tokens.limits.values import NO_LIMITS, Kind, Subject  # noqa: E402
from tokens.loader import load_grant  # noqa: E402
from tokens.models import AccessToken  # noqa: E402
from usage import rollups, statements  # noqa: E402
from usage.batches import write_batch  # noqa: E402
from usage.daily_spend import sum_up  # noqa: E402
from usage.entry import UsageEntry  # noqa: E402
from usage.models import UsageRecord  # noqa: E402
from usage.outcomes import CostSource, Outcome  # noqa: E402
from usage.pruning import prune  # noqa: E402
from usage.rollup_statements import move_rollups  # noqa: E402
from usage.rollups import Span  # noqa: E402
from usage.sums import add_up  # noqa: E402
from usage.tally import load_tally  # noqa: E402

DAYS = 90
PROJECTS, TOKENS_EACH = 10, 10
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5", "text-embedding-3-small")
BATCH_ROWS = 500
CHUNK_ROWS = 100_000
REFUSED_ROWS = 300


def main(rows: int) -> None:
    call_command("migrate", verbosity=0, interactive=False)
    if UsageRecord.objects.exists():
        raise SystemExit("The database has usage in it.")
    tokens = _make_tokens()
    began = time.perf_counter()
    _fill(tokens, rows)
    write_batch([_refused(tokens[0], number) for number in range(REFUSED_ROWS)])
    filled = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    acts = {**_acts(tokens), **pages(), "prune_200": _prune}
    _say({"fill_seconds": round(filled - began, 1), "acts": list(acts)})
    for line in sys.stdin:
        _say(_timed(acts[line.strip()]))


def _say(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201 (what we are asked for)


def _make_tokens() -> list[AccessToken]:
    tokens = []
    for number in range(PROJECTS):
        project = Project.objects.create(name=f"project {number}")
        for _ in range(TOKENS_EACH):
            token, _ = lifecycle.issue(project, name="", ttl=None, actor="system", now=_now())
            tokens.append(token)
    return tokens


def _fill(tokens: list[AccessToken], rows: int) -> None:
    """Spread evenly, the oldest first; the sums as if each token had made one request an hour, or as many as
    there are.
    """
    first = _now().timestamp() - DAYS * 86_400
    for start in range(0, rows, CHUNK_ROWS):
        _insert(first, DAYS * 86_400 / rows, start, min(rows, start + CHUNK_ROWS))
    hours, an_hour = DAYS * 24, min(len(tokens), max(1, rows // (DAYS * 24)))
    for day in range(DAYS):
        made = [
            _entry(tokens[(hour * an_hour + number) % len(tokens)], first + hour * 3600, MODELS[number % 4])
            for hour in range(day * 24, min(hours, day * 24 + 24))
            for number in range(an_hour)
        ]
        with transaction.atomic():
            statements.add_to_days(sum_up(made))
            move_rollups(add_up((entry.started_at, entry) for entry in made))


def _insert(first: float, step: float, start: int, end: int) -> None:
    """By the database itself: millions of rows in minutes."""
    begun = f"({first} + made.number * {step})"
    if connection.vendor == "postgresql":
        numbers = f"SELECT generate_series({start}, {end - 1}) AS number"
        instant = f"to_timestamp({begun})"
        random = "substr(md5(random()::text), 1, 15)"
        uuid = f"(lpad(to_hex(({begun} * 1000)::bigint), 12, '0') || '70008' || {random})::uuid"
    else:
        numbers = (
            f"WITH RECURSIVE n(number) AS (SELECT {start} UNION ALL "  # noqa: S608
            f"SELECT number + 1 FROM n WHERE number < {end - 1}) SELECT number FROM n"
        )
        instant = f"strftime('%%Y-%%m-%%d %%H:%%M:%%f000', {begun}, 'unixepoch')"
        random = "substr(lower(hex(randomblob(8))), 1, 15)"
        uuid = f"printf('%%012x', CAST({begun} * 1000 AS INTEGER)) || '70008' || {random}"
    told = {"id": uuid, "project_id": "whose.project_id", "token_id": "whose.id", "started_at": instant}
    entry = statements._row(_entry(AccessToken.objects.all()[0], first))
    fields = [field.attname for field in statements._fields()]
    facts = {name: value for name, value in zip(fields, entry, strict=True) if value is not None}
    values = [told.get(name, "%s") for name in facts]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO usage_usagerecord ({', '.join(facts)}) SELECT {', '.join(values)} "  # noqa: S608
            f"FROM ({numbers}) made JOIN (SELECT id, project_id, row_number() OVER (ORDER BY id) AS place "
            f"FROM tokens_accesstoken) whose ON whose.place = made.number %% {PROJECTS * TOKENS_EACH} + 1",
            [value for name, value in facts.items() if name not in told],
        )


def _acts(tokens: list[AccessToken]) -> dict[str, Callable[[], object]]:
    now = _now()
    month, day = Span.last(timedelta(days=30), now), Span.last(timedelta(hours=24), now)
    token = tokens[-1]
    subject = Subject(Kind.PROJECT, token.project_id, NO_LIMITS)
    return {
        "batch_of_500": lambda: write_batch(
            [_entry(tokens[n % 100], time.time()) for n in range(BATCH_ROWS)]
        ),
        "token_lookup": lambda: load_grant(token.digest),
        "tally": lambda: load_tally(subject, int(_now().timestamp() * 1000)),
        "totals_30d": lambda: rollups.totals(month),
        "series_30d": lambda: rollups.series(month),
        "series_24h": lambda: rollups.series(day),
        "top_tokens_30d": lambda: rollups.top_tokens(month, 10),
        "top_models_30d": lambda: rollups.top_models(month, 10),
        "latencies_30d": lambda: rollups.latencies(month),
    }


def _timed(act: Callable[[], object]) -> dict[str, float]:
    """By the clock, and of the processor on our side of the database's connection: with SQLite, all of it."""
    began, worked = time.perf_counter(), time.thread_time()
    act()
    return {
        "ms": round((time.perf_counter() - began) * 1000, 2),
        "cpu_ms": round((time.thread_time() - worked) * 1000, 2),
    }


def _prune() -> None:
    """One transaction, with the pause that follows it."""
    batches = iter([False])
    before = _now() - timedelta(days=30)
    prune(before, actor="system", is_stopping=lambda: next(batches, True))


def _entry(token: AccessToken, started_at: float, model: str = MODELS[0]) -> UsageEntry:
    return UsageEntry(
        id=uuid7(),
        started_at=started_at,
        method="POST",
        path="/v1/chat/completions",
        endpoint="/chat/completions",
        project_id=token.project_id,
        token_id=token.id,
        model=model,
        outcome=Outcome.COMPLETED,
        status=200,
        is_admitted=True,
        input_tokens=100,
        output_tokens=50,
        cost_source=CostSource.PRICE,
        cost_microusd=123,
        duration_seconds=1.2,
        first_byte_seconds=0.4,
    )


def _refused(token: AccessToken, number: int) -> UsageEntry:
    entry = _entry(token, _now().timestamp() - DAYS * 86_400 + number)
    entry.outcome, entry.status, entry.is_admitted = Outcome.REFUSED, 403, False
    entry.cost_source, entry.cost_microusd = CostSource.FREE, 0
    return entry


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main(int(sys.argv[1]))
