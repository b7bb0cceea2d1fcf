"""What the chart hands to Prometheus, KEDA and Grafana: every name in a query is one that is exposed."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.test_dashboard import BOARD, OF_PROMETHEUS, series
from tests.kubernetes.chart import EXAMPLES, Objects, find, of_kind, render

OF_TARGETS = OF_PROMETHEUS | {"namespace", "pod"}
FOREIGN = {"DCGM_FI_DEV_GPU_UTIL"}


@pytest.fixture(scope="module")
def objects() -> Objects:
    """The example with monitoring."""
    return render(EXAMPLES["gpu-pools"])


def queries(objects: Objects) -> Iterator[tuple[str, str]]:
    """Yields where a query stands, and the query."""
    for rule in find(objects, "PrometheusRule", "gs-gpt-server")["spec"]["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"]
    for trigger in find(objects, "ScaledObject", "draw")["spec"]["triggers"]:
        yield trigger["name"], trigger["metadata"]["query"]


def test_every_name_of_a_query_exists(objects: Objects) -> None:
    known = series()
    found = dict(queries(objects))
    assert len(found) == 9
    for where, query in found.items():
        names = set(re.findall(r"gpt_server_\w+|DCGM_\w+", query))
        assert names, where
        assert names - FOREIGN <= known.keys(), where
        labels = set.union(OF_TARGETS, *(known[name] for name in names - FOREIGN))
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\"", query))
        for group in re.findall(r"by \(([^)]*)\)", query):
            used |= set(re.findall(r"\w+", group))
        assert used <= labels, (where, used - labels)
        assert query.count("(") == query.count(")")
        assert 'namespace="ai"' in query, "another release's metrics are not ours"


def test_summaries_name_labels_that_the_query_keeps(objects: Objects) -> None:
    for rule in find(objects, "PrometheusRule", "gs-gpt-server")["spec"]["groups"][0]["rules"]:
        kept = {label for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in re.findall(r"\w+", group)}
        named = set(re.findall(r"\{\{ \$labels\.(\w+) \}\}", rule["annotations"]["summary"]))
        assert named, rule["alert"]
        assert named <= kept, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_replicas_of_a_model_are_counted_by_its_key(objects: Objects) -> None:
    triggers = {
        one["name"]: (one["metricType"], one["metadata"]["threshold"], one["metadata"]["query"])
        for one in find(objects, "ScaledObject", "draw")["spec"]["triggers"]
    }
    own = 'namespace="ai",model="draw"'
    assert triggers["requests"] == (
        "AverageValue",
        "4",
        f"sum(gpt_server_running_requests{{{own}}}) + sum(gpt_server_queued_requests{{{own}}})",
    )
    assert triggers["gpu"] == ("Value", "80", 'avg(DCGM_FI_DEV_GPU_UTIL{namespace="ai",pod=~"gs-gpt-server-draw-.+"})')
    assert set(triggers) == {"requests", "wanted", "gpu"}


def test_scaling_by_the_pods_own_metrics(objects: Objects) -> None:
    spec = find(objects, "HorizontalPodAutoscaler", "embed")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 3)
    metrics = {one["pods"]["metric"]["name"]: one["pods"]["target"]["averageValue"] for one in spec["metrics"]}
    assert metrics == {"gpt_server_running_requests": "24", "gpt_server_queued_requests": "2"}
    assert metrics.keys() <= series().keys()


def test_prometheus_finds_every_process_once(objects: Objects) -> None:
    monitor = find(objects, "ServiceMonitor", "gs-gpt-server")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True, "our label `service` is not Kubernetes'"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    scraped = [one for one in of_kind(objects, "Service") if wanted <= one["metadata"]["labels"].items()]
    for deployment in of_kind(objects, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        (service,) = [one for one in scraped if one["spec"]["selector"].items() <= labels]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_dashboard_is_the_one_of_the_repository(objects: Objects) -> None:
    dashboard: Any = find(objects, "ConfigMap", "dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["gpt-server.json"]) == BOARD
