"""/metrics as Prometheus reads it."""

from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.live import LiveProxy

TOKEN = "only-for-tests-only-for-tests-only-for-tests"
READER = {"authorization": f"Bearer {TOKEN}"}

Samples = dict[str, dict[tuple[str, ...], float]]
"""By name, and by the values of their labels in the order of the labels' names."""


def scrape(live: LiveProxy) -> Samples:
    return samples_of(httpx.get(f"{live.url}/metrics", headers=READER).raise_for_status().text)


def samples_of(text: str) -> Samples:
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            of_name = samples.setdefault(sample.name, {})
            assert labels not in of_name, f"twice: {sample.name} {labels}"
            of_name[labels] = sample.value
    return samples


def total(samples: Samples, name: str) -> float:
    return sum(samples.get(name, {}).values())


def counters(samples: Samples) -> Counter[tuple[str, tuple[str, ...]]]:
    """What must never become less while its supervisor lives."""
    return Counter(
        {
            (name, labels): value
            for name, of_name in samples.items()
            if name.endswith(("_total", "_bucket", "_sum", "_count"))
            for labels, value in of_name.items()
        }
    )
