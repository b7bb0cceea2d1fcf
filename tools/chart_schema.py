"""The chart's values.schema.json and defaults.json, made from the classes of chart_values.py."""

from typing import Any

from tools.chart_values import AutoscalingValues, ChartValues, GroupValues, HpaValues, KedaValues, ModelValues


def values_schema() -> dict[str, Any]:
    """Returns the JSON Schema of the values, as Helm wants it: what is optional may be left out, and is never null."""
    schema: dict[str, Any] = _plain(ChartValues.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def _plain(part: Any) -> Any:
    """Leaves out titles and alternatives of null, so that Helm names the path of a fault and nothing beside it."""
    if isinstance(part, list):
        return [_plain(one) for one in part]
    if not isinstance(part, dict):
        return part
    kept = {key: _plain(value) for key, value in part.items() if key != "title" or not isinstance(value, str)}
    if kept.get("default", "") is None:
        del kept["default"]
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    options = [option for option in kept.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del kept["anyOf"]
        kept |= options[0]
    return kept


def section_defaults() -> dict[str, Any]:
    """Returns what templates take where a model says nothing; Helm has no defaults for entries of a map."""
    model = ModelValues(engine="-", model="-").model_dump(by_alias=True, exclude_none=True, exclude={"engine", "model"})
    sections = {
        "hpa": HpaValues(),
        "keda": KedaValues(server_address="http://-"),
        "autoscaling": AutoscalingValues(max_replicas=1),
        "group": GroupValues(),
    }
    required = {"keda": {"server_address"}, "autoscaling": {"max_replicas"}}
    return {"model": model} | {
        name: section.model_dump(by_alias=True, exclude_none=True, exclude=required.get(name))
        for name, section in sections.items()
    }
