"""The dashboard asks for metrics that there are, by labels that they have, and shows all that matter."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt_server.edge.telemetry import Telemetry
from gpt_server.services.common import telemetry
from gpt_server.services.embed import metrics as _entered_by_embed  # noqa: F401 (importing it is what counts)
from gpt_server.services.llm import metrics as _entered_by_llm  # noqa: F401
from tools.write_docs import edge_metrics

BOARD = json.loads((Path(__file__).parents[2] / "deploy" / "grafana" / "gpt-server.json").read_text(encoding="utf-8"))
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
OF_PROMETHEUS = {"le", "instance", "job"}
FUNCTIONS = {"histogram_quantile", "label_values", "max", "min", "rate", "sum"}


def series() -> dict[str, set[str]]:
    """Every series that is exposed, and its labels."""
    rows = [(row.name, row.kind, set(row.labels)) for row in telemetry.TABLE]
    for name, kind, labels, *_ in edge_metrics(Telemetry().registry):
        rows.append((name.strip("`"), kind, set(re.findall(r"\w+", labels))))
    return {name + suffix: labels for name, kind, labels in rows for suffix in SUFFIXES[kind]}


def queries() -> Iterator[tuple[str, str]]:
    """Yields where a query stands, and the query."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_every_name_of_a_query_exists(where: str, query: str) -> None:
    known = series()
    names = set(re.findall(r"gpt_server_\w+", query))
    assert names
    assert names <= known.keys(), names - known.keys()
    labels = set.intersection(*(known[name] for name in names)) | OF_PROMETHEUS
    used = set(re.findall(r"(\w+)\s*(?:=~|!=|=)", query))
    for group in re.findall(r"by \(([^)]*)\)", query):
        used |= set(re.findall(r"\w+", group))
    assert used <= labels, used - labels
    without_words = re.sub(r"\"[^\"]*\"|\[[^]]*\]|by \([^)]*\)|\{[^}]*\}|gpt_server_\w+", " ", query)
    assert set(re.findall(r"[a-z_]{2,}", without_words)) <= FUNCTIONS | {"model"}
    assert query.count("(") == query.count(")")


@pytest.mark.parametrize("panel", [panel for panel in BOARD["panels"] if "targets" in panel], ids=lambda p: p["title"])
def test_legends_name_labels_that_the_query_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        kept = {label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in re.findall(r"\w+", group)}
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


def test_all_of_the_fields_terms_are_shown() -> None:
    shown = {name for _, query in queries() for name in re.findall(r"gpt_server_\w+", query)}
    for part in (
        "time_to_first_token",
        "inter_token",
        "queue_seconds",
        "prompt_tokens",
        "completion_tokens",
        "in_flight",
    ):
        assert any(part in name for name in shown), part
    for part in ("errors_total", "replica_state", "model_state"):
        assert any(part in name for name in shown), part


def test_panels_have_ids_and_places_of_their_own() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    places = [tuple(panel["gridPos"][axis] for axis in "xy") for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places)
