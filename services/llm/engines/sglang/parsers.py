"""SGLang's parsers of reasoning and tool calls, as readers of `services.llm.choice`."""

import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from sglang.srt.entrypoints.openai.protocol import Function
from sglang.srt.entrypoints.openai.protocol import Tool as TheirTool
from sglang.srt.function_call.function_call_parser import FunctionCallParser
from sglang.srt.parser.reasoning_parser import ReasoningParser

from gpt_server.services.llm.engine import Chat, Tool, ToolCallDelta
from gpt_server.services.llm.grammar import CallForm
from gpt_server.services.llm.parsing import Parsed
from gpt_server.services.llm.template import parameters


class Reasoning:
    """Tells reasoning from the answer. Blanks behind a tag belong to neither.

    Args:
        name: of the parser.
        tokenizer: the model's.
        opened: the text begins inside the reasoning, because the prompt has opened it.
        calls: a reader of calls comes next.
    """

    def __init__(self, name: str, tokenizer: Any, opened: bool = False, calls: bool = False) -> None:
        forced = True if opened else None
        parser = ReasoningParser(name, force_reasoning=forced, tokenizer=tokenizer, tool_call_parser_active=calls)
        self._detector = parser.detector
        self._reasoned = self._answered = False

    @property
    def begin(self) -> str:
        """What opens the reasoning."""
        return str(self._detector.think_start_token)

    @property
    def end(self) -> str:
        """What closes it."""
        return str(self._detector.think_end_token)

    @property
    def thinking(self) -> bool:
        """Whether the text that comes next is reasoning, as far as can be told."""
        return bool(self._detector._in_reasoning)

    def feed(self, text: str) -> Parsed:
        """Returns what is new."""
        return self._parsed(self._detector.parse_streaming_increment(text))

    def flush(self) -> Parsed:
        """Returns what was held back, at the end of the text."""
        return self._parsed(self._detector.finish())

    def _parsed(self, found: Any) -> Parsed:
        reasoning, content = found.reasoning_text or "", found.normal_text or ""
        if not self._reasoned:
            reasoning = reasoning.lstrip()
            self._reasoned = bool(reasoning)
        if not self._answered:
            content = content.lstrip("\r\n")
            self._answered = bool(content)
        return Parsed(content=content, reasoning=reasoning)


class Calls:
    """Finds tool calls in an answer.

    Args:
        name: of the parser.
        tokenizer: the model's.
        chat: says which tools there are, and whether there may be several calls.
    """

    def __init__(self, name: str, tokenizer: Any, chat: Chat) -> None:
        self._parser = FunctionCallParser(_tools(chat), name, tokenizer)
        self._one = chat.parallel_tool_calls is False
        #: Calls that have begun.
        self.begun = 0

    @property
    def complete(self) -> int:
        """Calls that another has followed; of the last one SGLang's parsers do not say it."""
        return max(self.begun - 1, 0)

    def feed(self, text: str) -> Parsed:
        """Returns what is new."""
        return self._parsed(*self._parser.parse_stream_chunk(text))

    def flush(self) -> Parsed:
        """Returns what was held back, at the end of the text."""
        return self._parsed(*self._parser.parse_stream_end())

    def _parsed(self, content: str, found: Sequence[Any]) -> Parsed:
        calls = [delta for item in found for delta in self._fragments(item)]
        # Between and behind calls there are blanks, which are no content.
        return Parsed(content="" if self.begun and content.isspace() else content, tool_calls=calls)

    def _fragments(self, item: Any) -> Sequence[ToolCallDelta]:
        fragments = []
        if item.name:
            self.begun += 1
            fragments.append(ToolCallDelta(self.begun - 1, f"call_{uuid.uuid4().hex[:24]}", item.name))
        if item.parameters and self.begun:
            fragments.append(ToolCallDelta(self.begun - 1, arguments=item.parameters))
        return [each for each in fragments if not (self._one and each.index)]


def call_form(name: str, tokenizer: Any) -> CallForm | None:
    """Returns how calls are written that a parser reads; `None`: it does not say, so they cannot be enforced."""
    detector = FunctionCallParser([], name, tokenizer).detector
    if not detector.supports_structural_tag():
        return None
    try:
        info = detector.structure_info()
        example = info("f")
    except NotImplementedError:
        return None
    separator = "\n" if detector.eot_token else detector.tool_call_separator
    return CallForm(lambda tool: str(info(tool).begin), example.end, example.trigger, separator)


def marks(*parsers: Any) -> str:
    """Returns all that parsers look for, as one text: a special token that is in it must be shown to them."""
    return "\n".join(_written(value) for parser in parsers for value in vars(parser).values())


def detectors(reasoning: str | None, calls: str | None, tokenizer: Any) -> Sequence[Any]:
    """Returns the parsers of these names as SGLang has them."""
    found = []
    if reasoning:
        found.append(ReasoningParser(reasoning, tokenizer=tokenizer).detector)
    if calls:
        found.append(FunctionCallParser([], calls, tokenizer).detector)
    return found


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return value.pattern.replace("\\", "") if isinstance(value, re.Pattern) else ""


def _tools(chat: Chat) -> list[Any]:
    return [_tool(tool) for tool in chat.tools]


def _tool(tool: Tool) -> Any:
    function = Function(name=tool.name, description=tool.description, parameters=parameters(tool))
    return TheirTool(type="function", function=json.loads(function.model_dump_json()))
