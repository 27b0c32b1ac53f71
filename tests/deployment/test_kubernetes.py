"""deploy/kubernetes against Kubernetes' own schemas, and what those cannot see."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings

from llm_proxy_site.environment import Environment
from llm_proxy_site.server.worker import STOP_SECONDS
from proxy.held_bodies import MAX_HELD_BYTES
from proxy.metrics import endpoint as metrics
from proxy.metrics.catalogue import METRICS
from tests.deployment.dockerfile import USER
from tests.documents.blocks import blocks
from tests.prometheus import Prometheus

FOLDER = Path(settings.BASE_DIR) / "deploy/kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
OBJECTS: list[dict[str, Any]] = [
    document
    for name in KUSTOMIZATION["resources"]
    for document in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8"))
]
VERSIONS = ("1.30", "1.37")
LABELS = {"app.kubernetes.io/name": "llm-proxy"}
IDLE_MEBIBYTES = 132
"""Of a process that has served little (docs/scaling.md)."""


def the(kind: str) -> dict[str, Any]:
    (found,) = (each for each in OBJECTS if each["kind"] == kind)
    return found


POD = the("StatefulSet")["spec"]["template"]["spec"]
(SERVER,) = POD["containers"]
(SETUP,) = POD["initContainers"]
CONFIG: dict[str, str] = the("ConfigMap")["data"]
SCRAPING, SCRAPING_TOO = (
    yaml.safe_load(block.text)
    for block in blocks("docs/deployment.md", "yaml")
    if "__meta_kubernetes" in block.text
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("described", OBJECTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_each_is_what_kubernetes_takes(
    described: dict[str, Any], version: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        kubernetes_validate.validate(described, version, strict=True)


def test_every_file_is_part_of_it() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == {
        "kustomization.yaml",
        *KUSTOMIZATION["resources"],
    }


@pytest.mark.parametrize("container", [SERVER, SETUP], ids=["server", "setup"])
def test_a_container_can_do_little(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/data", "/tmp"}  # noqa: S108
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


def test_a_worker_may_hold_what_it_takes_on() -> None:
    held = MAX_HELD_BYTES + settings.CAPTURE_MAX_PENDING_BYTES
    resources = SERVER["resources"]

    assert CONFIG["WORKERS"] == "1"
    assert mebibytes(resources["requests"]["memory"]) > IDLE_MEBIBYTES
    # What is held is copied while it goes out.
    assert mebibytes(resources["limits"]["memory"]) > IDLE_MEBIBYTES + 2 * held / 2**20


@pytest.mark.parametrize("container", [SERVER, SETUP], ids=["server", "setup"])
def test_the_authority_of_the_cluster_is_where_the_documents_say(container: dict[str, Any]) -> None:
    """Not with the token of a service account, which the pod has not."""
    (mount,) = (each for each in container["volumeMounts"] if each.get("readOnly"))
    (volume,) = (each for each in POD["volumes"] if each["name"] == mount["name"])
    (item,) = volume["configMap"]["items"]
    text = (FOLDER.parent.parent / "docs/exchange.md").read_text(encoding="utf-8")

    assert f"EXCHANGE_CA_FILE={mount['mountPath']}/{item['path']}`" in text
    assert volume["configMap"]["name"] == "kube-root-ca.crt"
    assert volume["configMap"]["optional"]


@pytest.mark.parametrize("name", ["ingress.yaml", "networkpolicy.yaml"])
def test_what_stands_there_as_a_comment_is_what_kubernetes_takes(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    described = yaml.safe_load(
        re.sub(r"^( +)# ((?: *- | *[\w./-]+: ?).*)$", r"\1\2", text, flags=re.MULTILINE)
    )

    assert described != yaml.safe_load(text)
    kubernetes_validate.validate(described, VERSIONS[0], strict=True)


def test_the_pod_is_that_of_the_image_and_of_nobody_else() -> None:
    context = POD["securityContext"]

    assert context["runAsNonRoot"]
    assert {context[name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {USER}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False


def test_running_requests_have_the_time_that_they_are_promised() -> None:
    pause = SERVER["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = int(CONFIG["SHUTDOWN_GRACE_SECONDS"])

    assert POD["terminationGracePeriodSeconds"] >= pause + drain + STOP_SECONDS


def test_it_is_probed_where_it_answers() -> None:
    assert SERVER["livenessProbe"]["httpGet"]["path"] == SERVER["startupProbe"]["httpGet"]["path"] == "/live"
    assert SERVER["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert SERVER["ports"] == [{"name": "http", "containerPort": 8000}]


def test_secrets_are_named_and_not_written() -> None:
    assert "Secret" not in {each["kind"] for each in OBJECTS}
    assert {"secretRef": {"name": "llm-proxy"}} in SERVER["envFrom"]
    assert not {"SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL", "REDIS_URL"} & set(CONFIG)


def test_every_setting_that_it_gives_exists() -> None:
    assert set(CONFIG) <= set(settings.ENVIRONMENT.names)


def test_the_database_is_migrated_by_one_pod_at_a_time() -> None:
    assert SETUP["args"] == ["setup", "--without-admin"]
    assert the("StatefulSet")["spec"]["podManagementPolicy"] == "OrderedReady"


def test_prometheus_may_read_what_a_pod_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """In private networks; what comes through the Ingress says so, and is refused."""
    monkeypatch.setenv("METRICS_NETWORKS", CONFIG["METRICS_NETWORKS"])
    networks = Environment().networks("METRICS_NETWORKS")
    assert networks
    assert all(network.is_private for network in networks)
    annotations = the("StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == metrics.PATH


def test_the_job_of_the_documents_scrapes_servers_by_the_name_of_the_alerts(
    prometheus: Prometheus, tmp_path: Path
) -> None:
    """Those that are not ready, too, of which alerts tell; not those that are ending, which do not listen."""
    (job,) = SCRAPING["scrape_configs"]
    (role,) = (each["role"] for each in job["kubernetes_sd_configs"])
    targets = [
        endpoint("llm-proxy-0"),
        endpoint("llm-proxy-1", ready="false", serving="false"),
        endpoint("llm-proxy-2", terminating="true"),
        endpoint("llm-proxy-0", service="llm-proxy"),
    ]

    assert role == "endpointslice"
    found = scraped(prometheus, tmp_path, job["job_name"], job["relabel_configs"], targets)
    assert found == [
        {"job": "llm-proxy", "namespace": "llm-proxy", "pod": f"llm-proxy-{number}"} for number in (0, 1)
    ]
    assert 'up{job="llm-proxy"} == 0' in (FOLDER.parent / "prometheus/alerts.yml").read_text()


def test_the_service_by_which_pods_are_scraped_has_those_that_are_not_ready() -> None:
    (service,) = (each for each in OBJECTS if each["metadata"]["name"] == "llm-proxy-pods")

    assert service["kind"] == "Service"
    assert service["spec"]["publishNotReadyAddresses"]
    assert [port["name"] for port in service["spec"]["ports"]] == ["http"]


def test_a_job_that_goes_by_annotations_does_so_with_the_rules_of_the_documents(
    prometheus: Prometheus, tmp_path: Path
) -> None:
    (job,) = SCRAPING["scrape_configs"]
    rules = [*job["relabel_configs"][-2:], *SCRAPING_TOO]
    targets = [
        pod("llm-proxy-0"),
        pod("llm-proxy-1", ready="false"),
        pod("other-0", name="other", ready="false"),
    ]

    assert scraped(prometheus, tmp_path, "kubernetes-pods", rules, targets) == [
        {"job": "llm-proxy", "namespace": "llm-proxy", "pod": "llm-proxy-0"},
        {"job": "kubernetes-pods", "namespace": "llm-proxy", "pod": "other-0"},
    ]


def test_it_grows_by_what_is_going_on_in_a_pod() -> None:
    spec = the("HorizontalPodAutoscaler")["spec"]
    metric = spec["metrics"][0]["pods"]["metric"]["name"]

    assert METRICS[metric].type == "gauge"
    assert f"`{metric}`" in (FOLDER.parent.parent / "docs/deployment.md").read_text(encoding="utf-8")
    assert spec["minReplicas"] >= 2
    assert "replicas" not in the("StatefulSet")["spec"]  # else each `apply` would undo what it has done
    for each in ("kind", "name"):
        assert spec["scaleTargetRef"][each] == {"kind": "StatefulSet", "name": "llm-proxy"}[each]


def test_all_mean_the_same_pods() -> None:
    stateful = the("StatefulSet")["spec"]
    services = [each["spec"] for each in OBJECTS if each["kind"] == "Service"]

    assert stateful["template"]["metadata"]["labels"] == LABELS
    assert [stateful["selector"]["matchLabels"], *(each["selector"] for each in services)] == [LABELS] * 3
    for selector in (
        the("PodDisruptionBudget")["spec"]["selector"],
        the("NetworkPolicy")["spec"]["podSelector"],
        *(each["labelSelector"] for each in POD["topologySpreadConstraints"]),
    ):
        assert selector == {"matchLabels": LABELS}


def test_no_private_network_is_reached_by_https() -> None:
    rules = the("NetworkPolicy")["spec"]["egress"]
    (block, *_) = (peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer)

    assert block["cidr"] == "0.0.0.0/0"
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(block["except"])


def mebibytes(quantity: str) -> int:
    number, unit = int(quantity[:-2]), quantity[-2:]
    return number * {"Mi": 1, "Gi": 1024}[unit]


def endpoint(of_pod: str, service: str = "llm-proxy-pods", **conditions: str) -> dict[str, str]:
    """What Prometheus learns of it from Kubernetes: one of a Service's addresses."""
    told = {"ready": "true", "serving": "true", "terminating": "false"} | conditions
    return {
        "__meta_kubernetes_namespace": "llm-proxy",
        "__meta_kubernetes_service_name": service,
        "__meta_kubernetes_endpointslice_port_name": "http",
        "__meta_kubernetes_pod_name": of_pod,
        **{f"__meta_kubernetes_endpointslice_endpoint_conditions_{name}": of for name, of in told.items()},
    }


def pod(of_pod: str, name: str = "llm-proxy", ready: str = "true") -> dict[str, str]:
    """Likewise, where it looks for pods."""
    return {
        "__meta_kubernetes_namespace": "llm-proxy",
        "__meta_kubernetes_pod_name": of_pod,
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": name,
        "__meta_kubernetes_pod_ready": ready,
    }


def scraped(
    prometheus: Prometheus,
    folder: Path,
    job: str,
    rules: list[dict[str, Any]],
    targets: list[dict[str, str]],
) -> list[dict[str, str]]:
    """The labels that these rules leave to them, in their order."""
    # In place of Kubernetes, which Debian's Prometheus does not know.
    found = [{"targets": [f"10.0.0.{i}:8000"], "labels": labels} for i, labels in enumerate(targets)]
    config = {"job_name": job, "static_configs": found, "relabel_configs": rules}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [config]}))
    told = json.loads(prometheus.check("service-discovery", "--timeout=1s", file, job))
    left = sorted((each["labels"] for each in told if each["labels"]), key=lambda labels: labels["instance"])
    return [
        {name: of for name, of in labels.items() if not name.startswith("__") and name != "instance"}
        for labels in left
    ]
