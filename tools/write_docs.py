"""Writes the reference pages of docs/ that are made from the code: `make docs`. A test compares them with the code."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.rpc.code_pb2 import Code
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from gpt_server.common.v1 import error_pb2
from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.errors import BARE_CODES, KINDS
from gpt_server.edge.schemas import audio_fields, embed_fields, fields, image_fields
from gpt_server.edge.schemas.base import Harmless, Honoured, Treatment
from gpt_server.edge.telemetry import Telemetry
from gpt_server.launcher.config import StackConfig
from gpt_server.services.audio import metrics as _entered_by_audio  # noqa: F401
from gpt_server.services.common import telemetry
from gpt_server.services.common.config import ServiceSettings
from gpt_server.services.common.status import CODES
from gpt_server.services.embed import metrics as _entered_by_embed  # noqa: F401 (importing it is what counts)
from gpt_server.services.image import metrics as _entered_by_image  # noqa: F401
from gpt_server.services.llm import metrics as _entered_in_table  # noqa: F401
from tests.engines.abilities import ABILITIES, Abilities, field_paths
from tools.chart_schema import section_defaults, values_schema
from tools.chart_values import ChartValues

DOCS = Path(__file__).resolve().parent.parent / "docs"
MADE = "<!-- Made by `make docs` from the code. -->\n"


def table(header: str, rows: Iterator[tuple[str, ...]]) -> str:
    """Returns a Markdown table; `header` has its columns separated by bars."""
    columns = [column.strip() for column in header.split("|")]
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def settings_rows(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Yields key, type, default and description of every setting, nested ones by their path."""
    schema = model.model_json_schema()
    yield from _rows(schema, schema.get("$defs", {}), "")


def _rows(section: Mapping[str, Any], defs: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, ...]]:
    required = section.get("required", ())
    for key, field in section["properties"].items():
        path = prefix + key
        nested, suffix = _nested(field, defs)
        default = "required" if key in required else _default(field, nested)
        meaning = field.get("description") or (nested or {}).get("description", "")
        yield f"`{path}`", _type(field, defs), default, meaning
        if nested:
            yield from _rows(nested, defs, f"{path}{suffix}.")


def _nested(field: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """Returns the section that a field holds, if it does, and what stands between the two keys."""
    for option in (field, *field.get("anyOf", ()), *field.get("allOf", ())):
        if "$ref" in option:
            target = defs[option["$ref"].rpartition("/")[2]]
            return (target, "") if "properties" in target else (None, "")
        for values in (option.get("additionalProperties"), *option.get("patternProperties", {}).values()):
            if isinstance(values, dict) and "$ref" in values:
                return defs[values["$ref"].rpartition("/")[2]], ".<name>"
    return None, ""


def _type(field: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return _type(defs[field["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in field:
        kinds = (_type(option, defs) for option in field["anyOf"] if option.get("type") != "null")
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), defs)}"
    bounds = {"minimum": "≥ ", "maximum": "≤ ", "exclusiveMinimum": "> ", "exclusiveMaximum": "< "}
    limits = ", ".join(f"{sign}{field[name]:g}" for name, sign in bounds.items() if name in field)
    kind = {"object": "mapping"}.get(field.get("type", "anything"), field.get("type", "anything"))
    return f"{kind}, {limits}" if limits else kind


def _default(field: Mapping[str, Any], nested: Mapping[str, Any] | None) -> str:
    default = field.get("default")
    if nested or default in (None, [], {}, ""):
        return ""
    return f"`{default}`".replace("True", "true").replace("False", "false")


def configuration() -> str:
    """Every key of the user's file and of the settings of each process."""
    header = "key | type | default | meaning"
    return f"""{MADE}
# Configuration

Unknown keys are refused. The user's file is checked by `gpt-server up --check`; `gpt-server schema` prints its JSON
Schema for editors.

## The user's file: `gpt-server up -c FILE`

{table(header, settings_rows(StackConfig))}

## An edge process: `python -m gpt_server.edge --config FILE`

The launcher writes this file. By hand, or in a cluster: a flag (`--port 9000`, `--media.timeout_s 5`) wins over the
environment (`GPT_SERVER_PORT`, `GPT_SERVER_MEDIA__TIMEOUT_S`), that over the file, that over the default.

{table(header, settings_rows(EdgeSettings))}

## A service process: `python -m gpt_server.services.<llm, embed, audio or image> --config FILE`

Flags and environment as above: `--grpc.port 50051`, `GPT_SERVER_GRPC__PORT`.

{table(header, settings_rows(ServiceSettings))}
"""


def errors() -> str:
    """Every reason, what it is over gRPC and over HTTP."""
    names = {value.name.removeprefix("ERROR_REASON_"): value for value in error_pb2.ErrorReason.DESCRIPTOR.values}

    def reasons() -> Iterator[tuple[str, ...]]:
        for reason, kind in KINDS.items():
            code = Code.Name(CODES[reason]) if reason in names else "– (edge)"
            yield f"`{reason}`", code, str(kind.status), f"`{kind.type}`", f"`{kind.code}`" if kind.code else "null"

    def bare() -> Iterator[tuple[str, ...]]:
        for code, (reason, message) in BARE_CODES.items():
            yield f"`{code.name}`", f"`{reason}`", message

    return f"""{MADE}
# Errors

Services answer with a `google.rpc.Status`: the code, a message for the caller, `google.rpc.ErrorInfo` with the reason
in the domain `gpt-server`, `google.rpc.BadRequest` with the field where one is at fault, `google.rpc.RetryInfo` where
waiting helps. What each reason means stands in [error.proto](../protos/gpt_server/common/v1/error.proto).

The edge answers with OpenAI's envelope, `{{"error": {{"message", "type", "param", "code"}}}}`, and these statuses:

{table("reason | gRPC code | HTTP | type | code", reasons())}

429 and 503 carry `Retry-After` (1 to 60 s). 502 and 504 carry `x-should-retry: false`, which the openai SDKs obey. The
message of a 500 is withheld; the log has it under the request id.

A status without `ErrorInfo` was made by gRPC itself; the edge reads it so, and anything else as `INTERNAL`:

{table("gRPC code | reason | message", bare())}

An error after the first byte of a stream is an event `data: {{"error": …}}`; then the connection is aborted, without
`[DONE]` and without a clean end, so that no client takes half an answer for a whole one.
"""


def metrics() -> str:
    """Every metric of services and edge."""

    def services() -> Iterator[tuple[str, ...]]:
        for row in sorted(telemetry.TABLE, key=lambda row: row.name):  # whichever modality was imported first
            yield f"`{row.name}`", row.kind, _labels(row.labels), row.meaning, _buckets(row.buckets)

    return f"""{MADE}
# Metrics

Prometheus' text format at `/metrics` of each process's admin port. Base units. Python's and the process's own metrics
come with them.

## Services

{table("name | kind | labels | meaning | buckets", services())}

## Edge

{table("name | kind | labels | meaning | buckets", edge_metrics(Telemetry().registry))}
"""


def edge_metrics(registry: CollectorRegistry) -> Iterator[tuple[str, ...]]:
    """Yields a row for each metric of ours that is registered."""
    for collector in registry._collector_to_names:
        name = getattr(collector, "_name", "")
        if name.startswith("gpt_server_"):
            kind = getattr(collector, "_type", "")
            suffix = "_total" if kind == "counter" else ""
            bounds = getattr(collector, "_upper_bounds", [])[:-1]
            labels = getattr(collector, "_labelnames", ())
            yield f"`{name}{suffix}`", kind, _labels(labels), collector._documentation, _buckets(bounds)  # type: ignore[attr-defined]


def _labels(labels: Any) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def _buckets(buckets: Any) -> str:
    return ", ".join(f"{bound:g}" for bound in buckets)


def request_fields() -> str:
    """What becomes of every field of every request."""
    routes = {
        "POST /v1/chat/completions": fields.CHAT_FIELDS,
        "POST /v1/completions": fields.COMPLETION_FIELDS,
        "POST /tokenize": fields.TOKENIZE_FIELDS,
        "POST /detokenize": fields.DETOKENIZE_FIELDS,
        "POST /v1/embeddings": embed_fields.EMBEDDING_FIELDS,
        "POST /v1/rerank, /v2/rerank, /rerank": embed_fields.RERANK_FIELDS,
        "POST /v1/score, /score": embed_fields.SCORE_FIELDS,
        "POST /v1/classify, /classify": embed_fields.CLASSIFY_FIELDS,
        "POST /v1/moderations": embed_fields.MODERATION_FIELDS,
        "POST /v1/audio/transcriptions": audio_fields.TRANSCRIPTION_FIELDS,
        "POST /v1/audio/translations": audio_fields.TRANSLATION_FIELDS,
        "POST /v1/audio/speech": audio_fields.SPEECH_FIELDS,
        "POST /v1/images/generations": image_fields.GENERATION_FIELDS,
        "POST /v1/images/edits": image_fields.EDIT_FIELDS,
        "POST /v1/images/variations": image_fields.VARIATION_FIELDS,
    }
    parts = [
        f"## {route}\n\n{table('field | what becomes of it |', (_treatment(*item) for item in sorted(rows.items())))}"
        for route, rows in routes.items()
    ]
    return f"""{MADE}
# Fields of requests

No field is dropped without a word. It is **honoured**, or **harmless** (accepted; it changes nothing here, and by its
OpenAI meaning need not), or **refused** by name with 400 `unsupported_parameter`; so is a field that is in no table.
What an honoured field means and allows stands at the field of the gRPC API ([llm](../protos/gpt_server/llm/v1),
[embed](../protos/gpt_server/embed/v1), [audio](../protos/gpt_server/audio/v1), [image](../protos/gpt_server/image/v1))
that it becomes. An engine that cannot honour it refuses it, by name too.

{chr(10).join(part + chr(10) for part in parts)}
## Engines

What each engine of the service `llm` does with every field of the gRPC request, `GenerateRequest`. `make test` and
`make test-engines` ask every engine, with its real library, for every field, and fail where this table is wrong.
A field that a chat template shows is honoured as far as the model's template shows it.

{table("field | " + " | ".join(f"`{name}`" for name in ABILITIES), engine_rows())}
"""


def engine_rows() -> Iterator[tuple[str, ...]]:
    """Yields a row for each field of a request to the service `llm`, with what each engine does with it."""
    for path in field_paths():
        yield f"`{path}`", *(_ability(path, abilities) for abilities in ABILITIES.values())


def _ability(path: str, abilities: Abilities) -> str:
    if path in abilities.refuses:
        return "refused"
    return f"harmless: {abilities.harmless[path]}" if path in abilities.harmless else "honoured"


def _treatment(name: str, treatment: Treatment) -> tuple[str, str, str]:
    if isinstance(treatment, Honoured):
        paths = " or ".join(f"`{path}`" for path in treatment.paths)
        return f"`{name}`", "honoured", paths or "by the edge"
    if isinstance(treatment, Harmless):
        allowed = "" if treatment.values is None else f" Only {' or '.join(map(_json, treatment.values))}."
        return f"`{name}`", "harmless", treatment.why + allowed
    return f"`{name}`", "refused", treatment.why


def _json(value: Any) -> str:
    return f"`{value}`".replace("True", "true").replace("False", "false").replace("'", '"')


def chart_values() -> str:
    """Every key of the Helm chart's values."""
    return f"""{MADE}
# Values of the Helm chart

Unknown keys are refused, by their path. What `gpt-server up` reads may stand in the values as it is; `local` of a model
and `edge.host`, `edge.port`, `edge.processes` are for one machine and change nothing here. How it all fits together:
[README.md](README.md).

{table("key | type | default | meaning", settings_rows(ChartValues))}
"""


PAGES: Mapping[str, Callable[[], str]] = {
    "../deploy/values.md": chart_values,
    "../deploy/helm/gpt-server/values.schema.json": lambda: json.dumps(values_schema(), indent=1) + "\n",
    "../deploy/helm/gpt-server/defaults.json": lambda: json.dumps(section_defaults(), indent=1) + "\n",
    "configuration.md": configuration,
    "errors.md": errors,
    "fields.md": request_fields,
    "metrics.md": metrics,
}


def main() -> None:
    """Writes all pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
