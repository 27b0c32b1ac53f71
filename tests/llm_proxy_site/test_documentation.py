"""Every setting, command and endpoint is documented, and the README keeps its promises of length."""

import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from llm_proxy_site.live.routing import PATH as LIVE_FEED
from proxy.holder import METHODS as HOLDERS
from proxy.metrics.endpoint import PATH as METRICS
from proxy.token_exchange import PATH as EXCHANGE

ROOT = Path(settings.BASE_DIR)
OURS = {"llm_proxy_site", "projects", "tokens", "usage", "audit", "proxy"}
PATHS = sorted(
    {"/v1/", "/manage/", "/admin/", "/live", "/ready", "/health", "/admin/live/", "/admin/sso/"}
    | {"/admin/sso/callback/", METRICS, EXCHANGE, LIVE_FEED, *HOLDERS}
)
COMMANDS = sorted(name for name, app in get_commands().items() if app in OURS)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", settings.ENVIRONMENT.names)
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `{name}` |" in read("docs/settings.md")
    assert re.search(rf"^# {name}=", read(".env.example"), re.MULTILINE)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", read("docs/settings.md"), re.MULTILINE)) == set(
        settings.ENVIRONMENT.names
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    assert f"\n## {name}\n" in read("docs/commands.md")
    assert f"`{name}`" in read("README.md")


@pytest.mark.parametrize("path", PATHS)
def test_every_endpoint_is_documented(path: str) -> None:
    assert re.search(rf"`(?:[A-Z]+ )?{path}[`…]", read("docs/api.md"))


def test_every_route_of_the_management_api_is_documented_and_no_other() -> None:
    routes = json.loads(read("docs/openapi.json"))["paths"]  # which a test holds to the code
    documented = re.findall(
        r"^\| `(/manage/[^`]*)` \| ([A-Z, ]+) \|", read("docs/management-api.md"), re.MULTILINE
    )
    assert dict(documented) == {
        path: ", ".join(method.upper() for method in methods) for path, methods in routes.items()
    }


def test_every_outcome_is_documented() -> None:
    from usage.outcomes import Outcome

    for outcome in Outcome.values:
        assert f"| `{outcome}` |" in read("docs/api.md")


def test_every_metric_is_documented_as_it_is_and_no_other() -> None:
    from proxy.metrics.catalogue import METRICS

    documented = re.findall(
        r"^\| `(llm_proxy_\w+)` \| (\w+) \|\s+([^|]*?)\s?\| [^|]+ \| [^|]+ \|$",
        read("docs/observability.md"),
        re.MULTILINE,
    )
    assert documented == [
        (metric.name, metric.type, ", ".join(f"`{label}`" for label in metric.labels))
        for metric in METRICS.values()
    ]


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) < 150
