"""Spans as OTLP has them, in protobuf: https://opentelemetry.io/docs/specs/otlp/

The only module that imports what the extra `traces` brings; only where there is a collector.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.trace.v1 import trace_pb2

from llm_proxy_site.version import __version__
from proxy.tracing.spans import Span

_SAMPLED, _KNOWS_PARENT, _REMOTE_PARENT = 0x1, 0x100, 0x200


class Batch:
    """Spans that are sent together."""

    def __init__(self, resource: Mapping[str, Any]) -> None:
        self._request = ExportTraceServiceRequest()
        of_resource = self._request.resource_spans.add()
        _tell(of_resource.resource.attributes, resource)
        self._spans = of_resource.scope_spans.add(
            scope=InstrumentationScope(name="llm_proxy", version=__version__)
        ).spans

    def add(self, span: Span) -> None:
        message = trace_pb2.Span(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_id,
            trace_state=span.state,
            flags=_SAMPLED | _KNOWS_PARENT | (_REMOTE_PARENT if span.is_server and span.parent_id else 0),
            name=span.name,
            kind=trace_pb2.Span.SPAN_KIND_SERVER if span.is_server else trace_pb2.Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=span.begins_ns,
            end_time_unix_nano=span.ends_ns,
        )
        if span.is_error:
            message.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        _tell(message.attributes, span.attributes)
        self._spans.append(message)

    def encode(self) -> bytes:
        return self._request.SerializeToString()


def read_rejected(body: bytes) -> int | None:
    """How many spans the collector has not taken, by its answer; None: that is no collector's answer."""
    try:
        return ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans
    except DecodeError:
        return None


def _tell(pairs: Any, attributes: Mapping[str, Any]) -> None:
    """Add them to a message's. In place: to make messages and have them copied takes five times as long."""
    for name, value in attributes.items():
        pair = pairs.add()
        pair.key = name
        if isinstance(value, str):
            pair.value.string_value = value
        elif isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            for each in value:
                pair.value.array_value.values.add().string_value = each
