from datetime import timedelta
from uuid import uuid4

import pytest
from pytest_django import Settings

from audit.refusals import refusals


@pytest.fixture(autouse=True)
def counts(settings: Settings) -> None:
    """Of attempts to sign in: each test's own, in a window that no test sees the end of."""
    settings.SIGN_IN_WINDOW = timedelta(days=1)
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid4().hex}
    settings.CACHES = {"default": memory}
    refusals.forget()
