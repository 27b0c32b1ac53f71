"""Short runs of the long measurements."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_proxy_site.bench import idle_streams
from llm_proxy_site.bench import soak as soak_module
from llm_proxy_site.bench.soak import MAX_GROWTH, SPARE_FILES, growth, soak
from llm_proxy_site.bench.targets import running_proxy


def test_the_proxy_does_not_grow_by_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By no more than half of what the long run permits, once it has what it keeps, such as SQLite's caches:
    a leak of 2 KiB a request is seen.
    """
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)  # what coverage remembers is not the proxy's
    with running_proxy(tmp_path, LOG_LEVEL="WARNING") as target:
        asyncio.run(soak(target, 3000, 300, 8))
        samples = asyncio.run(soak(target, 2000, 200, 8))

    assert growth(samples) < MAX_GROWTH / 2
    assert samples[-1].files <= samples[len(samples) // 10].files + SPARE_FILES


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("")
    monkeypatch.setattr(sys, "argv", ["soak", "--output", str(tmp_path / "text" / "x.json")])
    with pytest.raises(SystemExit):
        soak_module.main()
    assert "x.json cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "options", "why"),
    [
        (soak_module.main, ["--requests", "0", "--streams", "0"], "Less than 100 requests and streams"),
        (soak_module.main, ["--streams", "-1"], "Less than 100 requests and streams"),
        (soak_module.main, ["--connections", "0"], "It takes a connection"),
        (idle_streams.main, ["--streams", "0"], "It takes a stream"),
        (idle_streams.main, ["--seconds", "0"], "It takes a stream, and some time"),
    ],
)
def test_what_would_measure_nothing_is_refused(
    main: Callable[[], None],
    options: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["measure", *options])
    with pytest.raises(SystemExit):
        main()
    assert why in capsys.readouterr().err


def test_idle_streams_are_measured(tmp_path: Path) -> None:
    with running_proxy(tmp_path) as target:
        said = asyncio.run(idle_streams.measure(target, 50, 1))

    assert said.startswith("50 streams, a word every 10 s: ")
