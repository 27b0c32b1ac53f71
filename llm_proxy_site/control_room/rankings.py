"""Who uses the most: projects, tokens and models by cost; what has no price, or would have been refused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.safestring import SafeString

from llm_proxy_site.control_room.bars import bar
from llm_proxy_site.control_room.figures import compact, usd
from projects.models import Project
from tokens.models import AccessToken
from usage import rollups
from usage.rollups import Ranked, Scope, Span

COUNT = 5


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    url: str
    """Empty: there is no page, or no right to see it."""
    cells: list[str]
    percent: int
    """Of the largest one."""

    @property
    def bar(self) -> SafeString:
        return bar(self.percent)


@dataclass(frozen=True, slots=True)
class Ranking:
    title: str
    heads: list[str]
    rows: list[Row]
    nothing: str
    """Said where there are no rows."""

    @property
    def lines(self) -> list[tuple[Row, list[tuple[str, str]]]]:
        """Each row, and its cells with their heads."""
        return [(row, list(zip(self.heads, row.cells, strict=True))) for row in self.rows]


USED = ["Requests", "Model tokens", "Cost"]


def most_used(span: Span, scope: Scope) -> list[Ranking]:
    """Five queries."""
    projects = rollups.top_projects(span, COUNT, scope=scope)
    tokens = rollups.top_tokens(span, COUNT, scope=scope)
    models = rollups.top_models(span, COUNT, scope=scope)
    found_projects = Project.objects.in_bulk([each.key for each in projects])
    found_tokens = AccessToken.objects.in_bulk([each.key for each in tokens])
    nothing = "No requests."
    return [
        Ranking("Top projects", USED, _rows(projects, _named(found_projects), _used), nothing),
        Ranking("Top tokens", USED, _rows(tokens, _named(found_tokens), _used), nothing),
        Ranking("Top models", USED, _rows(models, _model, _used), nothing),
    ]


def most_used_of(span: Span, scope: Scope) -> list[Ranking]:
    """Of a project: its tokens and models. Of a token nothing: its models are not summed up."""
    if scope.token_id is not None:
        return []
    _, *rest = most_used(span, scope)
    return rest


def troubles(span: Span, scope: Scope) -> list[Ranking]:
    """Three queries."""
    unpriced = rollups.top_models(span, COUNT, by="unpriced", scope=scope)
    shadowed = rollups.top_projects(span, COUNT, by="shadow_refusals", scope=scope)
    projects = Project.objects.in_bulk([each.key for each in shadowed if each.sums.shadow_refusals])
    return [
        Ranking(
            "Models without a price",
            ["Requests"],
            _rows(unpriced, _model, lambda each: (each.sums.unpriced, [f"{each.sums.unpriced:,}"])),
            "Every model has a price.",
        ),
        Ranking(
            "Rules in shadow mode would have refused",
            ["Requests"],
            _rows(
                shadowed,
                _named(projects, _refused_ones),
                lambda each: (each.sums.shadow_refusals, [f"{each.sums.shadow_refusals:,}"]),
            ),
            "Nothing.",
        ),
    ]


def _rows(
    ranked: Iterable[Ranked],
    name: Callable[[Ranked], tuple[str, str]],
    measure: Callable[[Ranked], tuple[int, list[str]]],
) -> list[Row]:
    """Those that have anything of what they are ranked by."""
    measured = [(each, *measure(each)) for each in ranked]
    most = max((size for _, size, _ in measured), default=0) or 1
    return [Row(*name(each), cells, round(size * 100 / most)) for each, size, cells in measured if size > 0]


def _used(ranked: Ranked) -> tuple[int, list[str]]:
    """By cost; what costs nothing is shown all the same."""
    sums = ranked.sums
    tokens = sums.input_tokens + sums.output_tokens
    cells = [f"{sums.requests:,}", compact(tokens), usd(sums.cost_microusd)]
    return max(sums.cost_microusd, 1 if sums.requests else 0), cells


def _model(ranked: Ranked) -> tuple[str, str]:
    return str(ranked.key) or "(none that upstream has answered for)", ""


def _named(
    found: dict[Any, Any], url: Callable[[Project | AccessToken], str] | None = None
) -> Callable[[Ranked], tuple[str, str]]:
    def name(ranked: Ranked) -> tuple[str, str]:
        subject = found.get(ranked.key)
        if subject is None:
            return f"{ranked.key} (gone)", ""
        return str(subject), (url or _page)(subject)

    return name


def _page(subject: Project | AccessToken) -> str:
    return reverse(f"admin:{subject._meta.label_lower.replace('.', '_')}_change", args=[subject.pk])


def _refused_ones(project: Project | AccessToken) -> str:
    return (
        reverse("admin:usage_usagerecord_changelist")
        + f"?over=30d&shadow=refused&project__id__exact={project.pk}"
    )
