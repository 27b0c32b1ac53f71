from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from pytest_django import Settings

from audit.refusals import refusals
from llm_proxy_site.sso.backend import BACKEND
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, serving_openid_provider

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def provider(settings: Settings) -> Iterator[OpenIdProvider]:
    """With single sign-on configured for it."""
    settings.SIGN_IN_WINDOW = timedelta(days=1)
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid4().hex}
    settings.CACHES = {"default": memory}
    refusals.forget()
    settings.AUTHENTICATION_BACKENDS = [MODEL_BACKEND, BACKEND]
    settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
    settings.SSO_VIEWERS = ["llm-viewers"]
    settings.SSO_OPERATORS = ["llm-operators"]
    settings.SSO_ADMINS = ["llm-admins"]
    with serving_openid_provider() as provider:
        settings.SSO_ISSUER = provider.url
        yield provider
