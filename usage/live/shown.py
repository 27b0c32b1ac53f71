"""A row as all viewers get it: named and encoded once."""

import msgspec

from projects.money import usd_text
from usage.live.names import Names
from usage.live.row import LiveRow


class Shown(msgspec.Struct, frozen=True):
    row: LiveRow
    names: Names
    json: msgspec.Raw

    @classmethod
    def of(cls, row: LiveRow, names: Names) -> "Shown":
        return cls(row, names, msgspec.Raw(_encoder.encode(_for_page(row, names))))


def _for_page(row: LiveRow, names: Names) -> dict[str, object]:
    return {
        "id": row.id,
        "is_kept": row.token_id is not None,
        "started_at": row.started_at,
        "project": names.project,
        "token": names.token,
        "display": names.display,
        "method": row.method,
        "path": row.path,
        "endpoint": row.endpoint,
        "model": row.model,
        "is_stream": row.is_stream,
        "status": row.status,
        "outcome": row.outcome,
        "error_code": row.error_code,
        "first_byte_seconds": row.first_byte_seconds,
        "duration_seconds": row.duration_seconds,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "usd": None if row.cost_microusd is None else usd_text(row.cost_microusd),
    }


_encoder = msgspec.json.Encoder()
