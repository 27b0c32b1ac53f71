"""Short runs of the long measurements."""

import asyncio
from pathlib import Path

from llm_proxy_site.bench import idle_streams
from llm_proxy_site.bench.soak import SPARE_FILES, soak
from llm_proxy_site.bench.targets import running_proxy

MAX_GROWTH_MB = 16
"""In the second half. A short run ends before caches are full; a leak of 30 KiB a request is seen."""


def test_the_proxy_does_not_grow_by_requests(tmp_path: Path) -> None:
    with running_proxy(tmp_path, LOG_LEVEL="WARNING") as target:
        samples = asyncio.run(soak(target, 1000, 100, 8))

    middle, late = samples[len(samples) // 2], samples[-1]
    assert late.rss_mb - middle.rss_mb < MAX_GROWTH_MB
    assert late.files <= middle.files + SPARE_FILES


def test_idle_streams_are_measured(tmp_path: Path) -> None:
    with running_proxy(tmp_path) as target:
        said = asyncio.run(idle_streams.measure(target, 50, 1))

    assert said.startswith("50 streams, a word every 10 s: ")
