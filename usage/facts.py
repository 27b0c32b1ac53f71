"""A row of the ledger and sums of such rows as plain data: what the management API tells."""

from typing import Any

from projects.money import usd_text
from usage.entry import COUNTS
from usage.models import Measure, UsageRecord
from usage.rollups import Latencies
from usage.sums import Sums

COLUMNS = (
    "method",
    "endpoint",
    "path",
    "is_stream",
    "model",
    "outcome",
    "status",
    "error_code",
    "shadow_refusals",
    "is_admitted",
    "attempts",
    "usage_source",
    *COUNTS,
    "service_tier",
    "cost_source",
    "duration_seconds",
    "first_byte_seconds",
    "upstream_processing_seconds",
    "upstream_request_id",
    "request_bytes",
    "response_bytes",
)


def record_facts(record: UsageRecord) -> dict[str, Any]:
    return {
        "id": str(record.id),
        "project_id": str(record.project_id),
        "token_id": str(record.token_id),
        "started_at": record.started_at.isoformat(),
        **{column: getattr(record, column) for column in COLUMNS},
        "cost_usd": None if record.cost_microusd is None else usd_text(record.cost_microusd),
    }


def sums_facts(sums: Sums) -> dict[str, Any]:
    facts: dict[str, Any] = sums._asdict()
    return {**facts, "cost_usd": usd_text(facts.pop("cost_microusd"))}


def latency_facts(latencies: Latencies) -> dict[str, Any]:
    """Percentiles in seconds, right within 9 %; None where nothing was answered."""
    facts: dict[str, Any] = {"requests": latencies.requests}
    for measure in Measure:
        for share, seconds in latencies.seconds[measure].items():
            facts[f"{measure.value}_p{share * 100:.0f}_seconds"] = seconds and round(seconds, 6)
    return facts
