"""What can be looked up is complete: error codes, options of commands, scopes, places. Settings, commands and
outcomes: tests/llm_proxy_site/test_documentation.py.
"""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from llm_proxy_site.api import errors as api_errors
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.urls import urlpatterns
from proxy import errors
from proxy.errors import ProxyError
from proxy.providers_schema import EndpointEntry, ProviderEntry
from tests.documents.blocks import ROOT
from tests.llm_proxy_site.test_documentation import COMMANDS

TAKE_A_CODE = {"Forbidden", "NotPossible", "QuotaReached"}
"""Errors whose first argument is it."""
SDK_REPEATS = {408, 409, 429}
"""And what is 500 or more: OpenAI's SDKs, where `x-should-retry` says nothing else."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_error_code_is_documented_with_its_status() -> None:
    documented = set(re.findall(r"^\| (\d+) \| `(\w+)` \|", read("docs/errors.md"), re.MULTILINE))
    known = {(str(error.status), error.code) for error in kinds(errors) if "code" in vars(error)}
    known |= {("403", code) for code in codes_given("Forbidden", ROOT / "proxy")}
    known |= {("429", code) for code in codes_given("QuotaReached", ROOT / "proxy")}
    known |= {("431", "request_too_large")}  # which the server says (llm_proxy_site/server/refusals.py)
    assert documented == known


def test_it_is_documented_whether_sdks_repeat() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| .* \| (yes|no) \| ", read("docs/errors.md"), re.MULTILINE)
    documented = {code: is_repeated == "yes" for _, code, is_repeated in rows}
    for error in kinds(errors):
        if "code" in vars(error):
            usual = error.status in SDK_REPEATS or error.status >= 500
            assert documented[error.code] == (usual if error.should_retry is None else error.should_retry), (
                error.code
            )


def test_every_error_code_of_the_management_api_is_documented() -> None:
    text = read("docs/management-api.md")
    known = {error.code for error in kinds(api_errors) if "code" in vars(error)}
    for name in TAKE_A_CODE:
        for folder in ("llm_proxy_site/api", "audit", "projects", "tokens", "usage"):
            known |= codes_given(name, ROOT / folder)
    for code in known | {"invalid_value", "idempotency_key_reused"}:
        assert f"`{code}`" in text, code


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "runserver"])  # its are Django's
def test_every_option_of_a_command_is_documented(name: str) -> None:
    sections = dict(
        re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", read("docs/commands.md"), re.MULTILINE | re.DOTALL)
    )
    told = sections[name]
    if re.search(r"\[(LIMITS|POLICY|UPSTREAM)\]|of\n?\s?create_trust_rule", told):
        told += sections["create_project"] + sections["create_trust_rule"]
    for option in options(name):
        assert re.search(rf"`[^`]*{option}\b", told), option


def test_every_scope_is_documented() -> None:
    for scope in ApiScope:
        assert f"`{scope}`" in read("docs/management-api.md")


def test_every_place_of_the_control_plane_is_documented() -> None:
    for beginning in {str(getattr(pattern, "pattern", "")).partition("/")[0] for pattern in urlpatterns}:
        assert f"`/{beginning}/" in read("docs/api.md"), beginning


def test_every_setting_of_a_provider_is_documented() -> None:
    for setting in (*ProviderEntry.__struct_fields__, *EndpointEntry.__struct_fields__):
        assert f"`{setting}`" in read("docs/providers.md"), setting


def kinds(module: object) -> Iterator[type[ProxyError]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, ProxyError):
            yield value


def codes_given(error: str, folder: Path) -> set[str]:
    """The codes that the sources in a folder give to errors of this kind."""
    found = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == error:
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    found.add(str(code.value))
    return found


def options(name: str) -> list[str]:
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    usual = {
        option for action in BaseCommand().create_parser("", "")._actions for option in action.option_strings
    }
    return [
        option
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option not in usual and action.help != argparse.SUPPRESS
    ]
