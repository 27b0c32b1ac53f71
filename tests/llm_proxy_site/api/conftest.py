from collections.abc import Iterator

import pytest
from django.core.cache import cache

from audit.refusals import refusals
from tests.management import Manager


@pytest.fixture(autouse=True)
def no_guesses() -> Iterator[None]:
    """All tests come from one address."""
    cache.clear()
    refusals.forget()
    yield
    cache.clear()


@pytest.fixture
def ada(db: None) -> Manager:
    return Manager.of_superuser()
