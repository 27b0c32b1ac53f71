"""Where the time of one request went, as a bar: before upstream, in it, and while the answer passed."""

from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from llm_proxy_site.control_room.figures import seconds
from usage.models import UsageRecord

WIDTH = 1000


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    look: str
    seconds: float


def parts(record: UsageRecord) -> list[Part]:
    """In order; together they are its duration. What upstream says it took is within the time to its first
    byte; before and around it are the queue, the connection and our own part.
    """
    first_byte = min(record.first_byte_seconds or 0.0, record.duration_seconds)
    processing = min(record.upstream_processing_seconds or 0.0, first_byte)
    if record.first_byte_seconds is None:
        return [Part("without an answer", "chart-bad", record.duration_seconds)]
    return [
        Part("queue, connection and proxy", "chart-third", first_byte - processing),
        Part("upstream works, as it says", "chart-second", processing),
        Part("the answer passes", "chart-first", record.duration_seconds - first_byte),
    ]


def timeline(record: UsageRecord) -> SafeString:
    shown = [part for part in parts(record) if part.seconds > 0]
    total = sum(part.seconds for part in shown) or 1.0
    bars, x = [], 0
    for part in shown:
        width = round(part.seconds * WIDTH / total)
        bars.append((part.look, x, width))
        x += width
    return format_html(
        '<svg class="timeline" viewBox="0 0 {} 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
        '<span class="legend">{}</span>',
        WIDTH,
        format_html_join("", '<rect class="{}" x="{}" width="{}" height="10"/>', bars),
        format_html_join(
            "",
            '<span class="{}">{}: {}</span>',
            ((part.look, part.name, seconds(part.seconds)) for part in shown),
        ),
    )
