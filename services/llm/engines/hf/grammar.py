"""The form that an answer must have, as a grammar of xgrammar: structured output, enforced calls, thinking before.

One grammar covers the whole output, so that the scheduler has nothing to switch: the reasoning is "any text up to
the end tag", then come the calls or the answer.
"""

import json
from typing import Any

import xgrammar

from gpt_server.services.llm.engine import Chat, GenerateRequest, Tool
from gpt_server.services.llm.forms import ANY_OBJECT, json_document, structured, text
from gpt_server.services.llm.parsing import TOOL_PARSERS, ReasoningParser

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


def _arguments(tool: Tool, index: int, required: bool) -> xgrammar.Grammar:
    schema = (tool.parameters or _EMPTY_OBJECT) if required or tool.strict else ANY_OBJECT
    return json_document(schema, f"chat.tools[{index}].parameters")


def _tag(form: dict[str, Any]) -> xgrammar.Grammar:
    return xgrammar.Grammar.from_structural_tag(json.dumps({"type": "structural_tag", "format": form}))
