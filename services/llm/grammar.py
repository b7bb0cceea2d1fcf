"""The form that an answer must have, as a grammar of xgrammar: structured output, enforced calls, thinking before.

One grammar covers the whole output, so that the scheduler has nothing to switch: the reasoning is "any text up to
the end tag", then come the calls or the answer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import xgrammar

from gpt_server.services.llm.engine import Chat, GenerateRequest, Tool
from gpt_server.services.llm.forms import ANY_OBJECT, json_document, structured, text
from gpt_server.services.llm.parsing import HermesParser

_EMPTY_OBJECT = '{"type": "object", "properties": {}}'


@dataclass(frozen=True, slots=True)
class CallForm:
    """How a model writes calls.

    Attributes:
        begin: returns what stands before the arguments of a call, for the tool's name.
        end: stands behind them.
        mark: announces a call; the beginning of `begin`.
        separator: stands between two calls.
    """

    begin: Callable[[str], str]
    end: str
    mark: str
    separator: str


def of_request(request: GenerateRequest, form: CallForm | None) -> xgrammar.Grammar | None:
    """Returns the grammar that a request's tools and structured output ask for, if they do.

    Raises:
        InvalidField: a schema, expression or grammar is malformed, or says what xgrammar cannot enforce.
    """
    output = structured(request.structured_output) if request.structured_output else None
    chat = request.chat
    if chat is None or form is None:
        return output
    if chat.tool_choice and chat.tool_choice.mode == "required":
        return calls(chat, form, required=True)
    if output is not None:
        return xgrammar.Grammar.union(calls(chat, form, required=True), output)
    if any(tool.strict for tool in chat.tools) or (chat.tool_choice and chat.tool_choice.allowed_tools):
        return calls(chat, form, required=False)
    return None


def call_form(dialect: type[HermesParser]) -> CallForm:
    """Returns how calls are written that a parser of ours reads."""
    begin = dialect.call_begin
    return CallForm(lambda name: begin.format(name=json.dumps(name)), dialect.call_end, dialect.mark, dialect.separator)


def calls(chat: Chat, form: CallForm, required: bool) -> xgrammar.Grammar:
    """Returns the grammar of calls of the allowed tools; unless `required`, between pieces of any text."""
    allowed = chat.tool_choice.allowed_tools if chat.tool_choice else ()
    tags = [
        {
            "type": "tag",
            "begin": form.begin(tool.name),
            "content": {"type": "grammar", "grammar": text(_arguments(tool, index, required))},
            "end": form.end,
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


def after_thinking(grammar: xgrammar.Grammar, begin: str, end: str, opened: bool) -> xgrammar.Grammar:
    """Returns a grammar that may think first, between two tags, and has to where the prompt has `opened` the first."""
    tag = {"type": "tag", "begin": "" if opened else begin, "content": {"type": "any_text"}, "end": end}
    thought = _tag({"type": "sequence", "elements": [tag, {"type": "regex", "pattern": r"\n{0,2}"}]})
    both = xgrammar.Grammar.concat(thought, grammar)
    return both if opened else xgrammar.Grammar.union(both, grammar)


def _arguments(tool: Tool, index: int, required: bool) -> xgrammar.Grammar:
    schema = (tool.parameters or _EMPTY_OBJECT) if required or tool.strict else ANY_OBJECT
    return json_document(schema, f"chat.tools[{index}].parameters")


def _tag(form: dict[str, Any]) -> xgrammar.Grammar:
    return xgrammar.Grammar.from_structural_tag(json.dumps({"type": "structural_tag", "format": form}))
