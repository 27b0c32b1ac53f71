"""Which traces are kept."""

from hashlib import sha256

import pytest

from proxy.tracing.context import Parent
from proxy.tracing.sampler import SAMPLERS, Sampler

SAMPLED = Parent(b"\1" * 16, b"\1" * 8, True, "")
UNSAMPLED = Parent(b"\1" * 16, b"\1" * 8, False, "")
LOW, HIGH = b"\xff" * 8 + b"\0" * 8, b"\0" * 8 + b"\xff" * 8
"""Ids whose last half, by which is decided, is the least and the most."""


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        # without a parent: a low id, a high one; with one that is sampled, or not
        ("always_on", (True, True, True, True)),
        ("always_off", (False, False, False, False)),
        ("traceidratio", (True, False, False, False)),
        ("parentbased_always_on", (True, True, True, False)),
        ("parentbased_always_off", (False, False, True, False)),
        ("parentbased_traceidratio", (True, False, True, False)),
    ],
)
def test_each_sampler_keeps_what_its_name_says(name: str, kept: tuple[bool, ...]) -> None:
    sampler = Sampler(name, 0.5)

    asked = [(LOW, None), (HIGH, None), (HIGH, SAMPLED), (HIGH, UNSAMPLED)]
    assert tuple(sampler.keeps(trace_id, parent) for trace_id, parent in asked) == kept
    assert name in SAMPLERS


def test_a_ratio_is_that_of_many_traces() -> None:
    ids = [sha256(b"%d" % number).digest()[:16] for number in range(4000)]
    kept = sum(Sampler("traceidratio", 0.25).keeps(each, None) for each in ids)

    assert kept == pytest.approx(1000, rel=0.15)
    assert all(Sampler("traceidratio", 1.0).keeps(each, None) for each in ids)
    assert not any(Sampler("traceidratio", 0.0).keeps(each, None) for each in ids)
