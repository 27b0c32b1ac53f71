import logging
from collections.abc import Iterator
from uuid import uuid4

import pytest
from pytest_django import Settings

from audit.refusals import refusals


@pytest.fixture(autouse=True)
def counts(settings: Settings) -> None:
    """Of attempts: each test's own."""
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid4().hex}
    settings.CACHES = {"default": memory}
    refusals.forget()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a quick one


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Each refusal is a line of the log, some with a traceback: they take longer than the refusals."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
