"""The form that an answer must have, as a grammar of xgrammar: structured output, enforced calls, thinking before.

One grammar covers the whole output, so that the scheduler has nothing to switch: the reasoning is "any text up to
the end tag", then come the calls or the answer. JSON is written as `json.dumps` writes it; with free blanks a small
model may never come to an end.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import xgrammar

from gpt_server.services.common.errors import InvalidField
from gpt_server.services.llm.engine import Chat, GenerateRequest, StructuredOutput, Tool
from gpt_server.services.llm.forms import fault_of
from gpt_server.services.llm.parsing import TOOL_PARSERS, ReasoningParser

_ANY_OBJECT = '{"type": "object"}'
_EMPTY_OBJECT = '{"type": "object", "properties": {}}'


def of_request(request: GenerateRequest, tool_parser: str | None) -> xgrammar.Grammar | None:
    """Returns the grammar that a request's tools and structured output ask for, if they do.

    Raises:
        InvalidField: a schema, expression or grammar is malformed, or says what xgrammar cannot enforce.
    """
    output = structured(request.structured_output) if request.structured_output else None
    chat = request.chat
    if chat is None or tool_parser is None:
        return output
    if chat.tool_choice and chat.tool_choice.mode == "required":
        return calls(chat, tool_parser, required=True)
    if output is not None:
        return xgrammar.Grammar.union(calls(chat, tool_parser, required=True), output)
    if any(tool.strict for tool in chat.tools) or (chat.tool_choice and chat.tool_choice.allowed_tools):
        return calls(chat, tool_parser, required=False)
    return None


def structured(output: StructuredOutput) -> xgrammar.Grammar:
    """Returns the grammar of a structured output.

    Raises:
        InvalidField: the schema, expression or grammar is malformed, or says what xgrammar cannot enforce.
    """
    if output.json_object is not None:
        return _schema(_ANY_OBJECT, "structured_output.json_object")
    if output.json_schema is not None:
        return _schema(output.json_schema, "structured_output.json_schema")
    if output.regex is not None:
        return _checked("structured_output.regex", xgrammar.Grammar.from_regex, output.regex)
    if output.choice is not None:
        rule = " | ".join(json.dumps(text, ensure_ascii=False) for text in output.choice)
        return _checked("structured_output.choice", xgrammar.Grammar.from_ebnf, f"root ::= {rule}")
    if output.structural_tag is not None:
        return _checked("structured_output.structural_tag", xgrammar.Grammar.from_structural_tag, output.structural_tag)
    return _checked("structured_output.grammar", xgrammar.Grammar.from_ebnf, output.grammar)


def calls(chat: Chat, parser: str, required: bool) -> xgrammar.Grammar:
    """Returns the grammar of calls of the allowed tools; unless `required`, between pieces of any text."""
    form = TOOL_PARSERS[parser]
    allowed = chat.tool_choice.allowed_tools if chat.tool_choice else ()
    tags = [
        {
            "type": "tag",
            "begin": form.call_begin.format(name=json.dumps(tool.name)),
            "content": {"type": "grammar", "grammar": text(_arguments(tool, index, required))},
            "end": form.call_end,
        }
        for index, tool in enumerate(chat.tools)
        if not allowed or tool.name in allowed
    ]
    one = chat.parallel_tool_calls is False
    if required:
        body = {"type": "tags_with_separator", "separator": form.separator, "at_least_one": True}
    else:
        body = {"type": "triggered_tags", "triggers": [form.mark]}
    return _tag(body | {"tags": tags, "stop_after_first": one})


def after_thinking(grammar: xgrammar.Grammar, opened: bool) -> xgrammar.Grammar:
    """Returns a grammar that may think first, and has to where the prompt has `opened` the reasoning."""
    begin, end = ("" if opened else ReasoningParser.begin), ReasoningParser.end
    tag = {"type": "tag", "begin": begin, "content": {"type": "any_text"}, "end": end}
    thought = _tag({"type": "sequence", "elements": [tag, {"type": "regex", "pattern": r"\n{0,2}"}]})
    both = xgrammar.Grammar.concat(thought, grammar)
    return both if opened else xgrammar.Grammar.union(both, grammar)


def text(grammar: xgrammar.Grammar) -> str:
    """Returns a grammar as EBNF that means the same when it is read again.

    xgrammar 0.2.8 writes "ä" as \\xe4 and reads "\\xe4f" as one character; its caching compiler does both.
    """
    return re.sub(r"(?<!\\)((?:\\\\)*)\\x([0-9a-f]{2})", r"\1\\u00\2", str(grammar))


def _arguments(tool: Tool, index: int, required: bool) -> xgrammar.Grammar:
    schema = (tool.parameters or _EMPTY_OBJECT) if required or tool.strict else _ANY_OBJECT
    return _schema(schema, f"chat.tools[{index}].parameters")


def _schema(schema: str, field: str) -> xgrammar.Grammar:
    return _checked(field, xgrammar.Grammar.from_json_schema, schema, any_whitespace=False)


def _tag(form: dict[str, Any]) -> xgrammar.Grammar:
    return xgrammar.Grammar.from_structural_tag(json.dumps({"type": "structural_tag", "format": form}))


def _checked(field: str, make: Callable[..., xgrammar.Grammar], *args: object, **options: object) -> xgrammar.Grammar:
    try:
        return make(*args, **options)
    except (RuntimeError, ValueError, TypeError) as error:
        message = fault_of(error)
        raise InvalidField(field, message) from error
