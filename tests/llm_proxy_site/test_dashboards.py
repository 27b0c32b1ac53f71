"""What is shipped for Grafana and Prometheus speaks of metrics that there are, in words that they know."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from proxy.metrics.catalogue import METRICS
from tests.prometheus import Prometheus, dashboard_queries

ROOT = Path(settings.BASE_DIR)
DASHBOARD = ROOT / "deploy/grafana/llm-proxy.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
EXAMPLE = ROOT / "deploy/prometheus/prometheus.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
ALERTS_TEST = Path(__file__).parent / "alerts.yml"
LABELS = {label for metric in METRICS.values() for label in metric.labels} | {"instance", "job", "le"}


def named(text: str) -> set[str]:
    """The metrics of these expressions."""
    return {
        re.sub(r"_(bucket|count|sum)$", "", name) if name not in METRICS else name
        for name in re.findall(r"\bllm_proxy_\w+", text)
    }


def labels(text: str) -> set[str]:
    selected = re.findall(r"[{,]\s*(\w+)\s*=?[=~!]", text)
    grouped = re.findall(r"\bby\s*\(([^)]*)\)", text)
    return {*selected, *(label.strip() for each in grouped for label in each.split(","))}


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    assert named(" ".join(dashboard_queries(DASHBOARD))) == METRICS.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_of_metrics_that_there_are_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert named(rule["expr"]) <= METRICS.keys()
    assert labels(rule["expr"]) <= LABELS
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert f"| `{rule['alert']}` |" in (ROOT / "docs/observability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("query", dashboard_queries(DASHBOARD))
def test_a_panel_asks_for_labels_that_there_are(query: str) -> None:
    assert labels(query) <= LABELS


def test_the_panels_have_their_places() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below, (one, other)


def test_promtool_accepts_rules_and_example(prometheus: Prometheus) -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in prometheus.check("rules", ALERTS)
    prometheus.check("config", "--syntax-only", EXAMPLE)


def test_every_alert_fires_where_it_should_and_none_where_all_is_well(prometheus: Prometheus) -> None:
    expected = ALERTS_TEST.read_text(encoding="utf-8")
    assert set(re.findall(r'alertname="(\w+)"', expected)) == {rule["alert"] for rule in RULES}
    prometheus.promtool("test", "rules", ALERTS_TEST)


def test_the_example_scrapes_with_the_token() -> None:
    (job,) = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["scrape_configs"]
    assert job["job_name"] == "llm-proxy"  # as an alert has it
    assert job["authorization"].keys() == {"credentials_file"}
