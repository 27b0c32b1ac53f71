"""The OpenAPI document of the management API, as committed. `python -m tests.openapi` writes it anew."""

import json
import os
from pathlib import Path
from typing import Any

import tests.environment  # noqa: F401  (secrets and a data directory, before Django reads its settings)

FILE = Path(__file__).parent.parent / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """As it is served: plain JSON."""
    from ninja.responses import NinjaJSONEncoder

    from llm_proxy_site.api.application import api

    plain: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema(), cls=NinjaJSONEncoder))
    return plain


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_proxy_site.settings")
    import django

    django.setup()
    FILE.write_text(json.dumps(document(), indent=2) + "\n", encoding="utf-8")
