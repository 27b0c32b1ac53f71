"""All URLs of the control plane, as its resolver has them, with ids of a World in their places."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.contenttypes.models import ContentType
from django.urls import URLPattern, URLResolver, get_resolver

from tests.refusals.world import MARK, World

PLACE = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
OBJECTS = {
    "delete_captures": "projects.project",
    "project_usage": "projects.project",
    "revoke_tokens": "projects.project",
    "test_upstream_key": "projects.upstreamkey",
    "token_usage": "tokens.accesstoken",
}
"""Of which model the id in the URL of this name is; admin:app_model_view says it itself."""
SEARCHES = [("tokens", "accesstoken", "project"), ("projects", "membership", "user")]
"""Of the fields of forms: of which model, and which field."""
BY_PATTERN = {
    "app_list": [f"admin/{label}/" for label in ("projects", "tokens", "usage", "audit", "auth")],
    "catch_all": ["admin/nothing", "admin/projects/project", "admin/nothing/"],
}


@dataclass(frozen=True)
class Url:
    name: str
    """With its namespace; of a nameless one the pattern."""
    path: str
    has_id: bool


def patterns() -> list[tuple[str, str]]:
    """Names and patterns, but for the management API: that is asked by its OpenAPI document."""
    return [found for found in walk(get_resolver(), "", "") if not found[1].startswith("manage/")]


def urls(world: World) -> list[Url]:
    """Fails for a pattern of which it does not know what to put into its places."""
    return [url for name, pattern in patterns() for url in _filled(name, pattern, world)]


def walk(resolver: URLResolver, before: str, namespace: str) -> Iterator[tuple[str, str]]:
    """The name, with its namespace, and the pattern of every URL."""
    for entry in resolver.url_patterns:
        pattern = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield (f"{namespace}{entry.name}" if entry.name else pattern), pattern
        else:
            space = f"{entry.namespace}:" if entry.namespace else ""
            yield from walk(entry, pattern, namespace + space)


def _filled(name: str, pattern: str, world: World) -> list[Url]:
    if name == "admin:app_list":
        return [Url(name, f"/{path}", False) for path in BY_PATTERN["app_list"]]
    if name == "admin:autocomplete":
        asked = "app_label={}&model_name={}&field_name={}"
        return [Url(name, f"/{pattern}?term={MARK}&{asked.format(*each)}", False) for each in SEARCHES]
    if "(?P<url>" in pattern:
        return [Url("catch_all", f"/{path}", False) for path in BY_PATTERN["catch_all"]]
    if "<str:kind>" in pattern:
        return [Url(name, f"/{pattern.replace('<str:kind>', kind)}", False) for kind in ("csv", "jsonl", "x")]
    path = PLACE.sub(lambda place: _value(name, pattern, place[1], world), pattern)
    assert not re.search(r"[<>^$()\\]", path), f"what stands in {pattern}? Say so in {__name__}"
    return [Url(name, f"/{path}", path != pattern)]


def _value(name: str, pattern: str, place: str, world: World) -> str:
    if name == "admin:view_on_site":
        project = world.project
        kind = ContentType.objects.get_for_model(project)
        return str(kind.pk if place == "content_type_id" else project.pk)
    label = OBJECTS.get(name)
    if label is None:
        found = re.match(r"admin/([a-z_]+)/([a-z]+)/", pattern)
        assert found, f"of which model is the id in {pattern}? Say so in {__name__}"
        label = f"{found[1]}.{found[2]}"
    return str(world.rows[label].pk)
