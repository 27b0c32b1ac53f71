from collections.abc import Iterator
from typing import Any

import pytest

from tests.issuers import Issuer, serving_issuer


@pytest.fixture
def issuer(settings: Any) -> Iterator[Issuer]:
    """Running, and permitted although it is no https."""
    settings.EXCHANGE_LOOPBACK_HTTP = True
    with serving_issuer() as issuer:
        yield issuer
