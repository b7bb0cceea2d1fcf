"""Forms that a text must have, as grammars of xgrammar: what the engines that have it share.

JSON is written as `json.dumps` writes it; with free blanks a small model may never come to an end.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import xgrammar

from gpt_server.services.common.errors import InvalidField
from gpt_server.services.llm.engine import StructuredOutput

ANY_OBJECT = '{"type": "object"}'


def structured(output: StructuredOutput) -> xgrammar.Grammar:
    """Returns the grammar of a structured output.

    Raises:
        InvalidField: the schema, expression or grammar is malformed, or says what xgrammar cannot enforce.
    """
    if output.json_object is not None:
        return json_document(ANY_OBJECT, "structured_output.json_object")
    if output.json_schema is not None:
        return json_document(output.json_schema, "structured_output.json_schema")
    if output.regex is not None:
        return _checked("structured_output.regex", xgrammar.Grammar.from_regex, output.regex)
    if output.choice is not None:
        rule = " | ".join(json.dumps(text, ensure_ascii=False) for text in output.choice)
        return _checked("structured_output.choice", xgrammar.Grammar.from_ebnf, f"root ::= {rule}")
    if output.structural_tag is not None:
        return _checked("structured_output.structural_tag", xgrammar.Grammar.from_structural_tag, output.structural_tag)
    return _checked("structured_output.grammar", xgrammar.Grammar.from_ebnf, output.grammar)


def json_document(schema: str, field: str) -> xgrammar.Grammar:
    """Returns the grammar of documents that a JSON Schema allows. Raises `InvalidField` for `field`."""
    return _checked(field, xgrammar.Grammar.from_json_schema, schema, any_whitespace=False)


def text(grammar: xgrammar.Grammar) -> str:
    """Returns a grammar as EBNF that means the same when it is read again.

    xgrammar 0.2.8 writes "ä" as \\xe4 and reads "\\xe4f" as one character; its caching compiler does both.
    """
    return re.sub(r"(?<!\\)((?:\\\\)*)\\x([0-9a-f]{2})", r"\1\\u00\2", str(grammar))


def with_few_blanks(structural_tag: str) -> str:
    """Returns a structural tag whose JSON has at most one blank where JSON allows any, unless it says otherwise."""

    def limit(node: dict[str, Any]) -> dict[str, Any]:
        free = node.get("type") == "json_schema" and node.get("max_whitespace_cnt") is None
        return node | {"max_whitespace_cnt": 1} if free else node

    return json.dumps(json.loads(structural_tag, object_hook=limit))


def fault_of(error: Exception) -> str:
    """Returns what xgrammar says, without the time and the source line that it puts before it."""
    # "[02:12:35] /project/cpp/regex_converter.cc:83: Regex parsing error at …"
    message = str(error.args[0] if error.args else error)
    return re.sub(r"\[[\d:]+\] \S+: (Check failed: \(.*?\) is false: )?", "", message).strip()


def _checked(field: str, make: Callable[..., xgrammar.Grammar], *args: object, **options: object) -> xgrammar.Grammar:
    try:
        return make(*args, **options)
    except (RuntimeError, ValueError, TypeError) as error:
        raise InvalidField(field, fault_of(error)) from error
