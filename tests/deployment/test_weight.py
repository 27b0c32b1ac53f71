"""What an installation weighs. What a newcomer fetches for it, `make newcomer` measures."""

from importlib.metadata import distribution

from tests.licences import table

MAX_MEGABYTES = 150
"""127 in November 2026, for which 39 were fetched."""


def test_what_the_server_is_installed_with_stays_light() -> None:
    weights = {name: megabytes(name) for name in table()}

    assert 50 < sum(weights.values()) < MAX_MEGABYTES, sorted(weights.items(), key=lambda each: -each[1])[:10]


def megabytes(package: str) -> float:
    """Of its files as they came, without what Python compiles of them."""
    return sum(file.size or 0 for file in distribution(package).files or ()) / 1e6
