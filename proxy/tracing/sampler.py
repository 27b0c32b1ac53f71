"""Which traces are kept, as OTEL_TRACES_SAMPLER says:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from proxy.tracing.context import Parent

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_ASKS_PARENT = "parentbased_"


class Sampler:
    def __init__(self, name: str, ratio: float) -> None:
        """`name` is one of SAMPLERS; `ratio`, of 0 to 1, is for those that have it in their name."""
        root = name.removeprefix(_ASKS_PARENT)
        share = {"always_on": 1.0, "always_off": 0.0}.get(root, ratio)
        self._asks_parent = name.startswith(_ASKS_PARENT)
        self._bound = round(share * 2**64)

    def keeps(self, trace_id: bytes, parent: Parent | None) -> bool:
        """By the trace's id, so that all who see the trace decide alike."""
        if self._asks_parent and parent is not None:
            return parent.is_sampled
        return int.from_bytes(trace_id[8:]) < self._bound
