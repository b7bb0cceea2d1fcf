"""Reasoning and tool calls in a model's text, for engines whose library has no parsers of its own.

Each parser is a small state machine that takes text in any pieces and holds back only what may be a mark, so the
result does not depend on how the text was split. Formats: Qwen's and Nous's `<tool_call>` ("hermes"), Llama 3's bare
JSON objects ("llama3_json"), `<think>` tags ("qwen3"; "deepseek_r1" where the model begins inside).

What looks like a tool call and turns out to be none, because its JSON is malformed, is content, exactly as the model
wrote it. Once a name and the opening brace of its arguments were read it is a call, and the arguments are passed on
as they are, whatever follows.
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gpt_server.services.llm.engine import ToolCallDelta
from gpt_server.services.llm.text import overlap

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)')
_FIRST_KEYS = ('"name"', '"arguments"', '"parameters"', '"id"', '"type"')
_BRACES = re.compile(r'["\\{}]')


@dataclass(slots=True)
class Parsed:
    """What a piece of text turned out to be."""

    content: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = field(default_factory=list)


class _Machine:
    """A state takes what it can from the buffer, and returns whether another state shall go on with the rest."""

    def __init__(self, state: Callable[[Parsed], bool]) -> None:
        self._state = state
        self._buffer = ""

    def feed(self, text: str) -> Parsed:
        """Returns what is new."""
        self._buffer += text
        parsed = Parsed()
        while self._buffer and self._state(parsed):
            pass
        return parsed

    def _go(self, state: Callable[[Parsed], bool], rest: str) -> bool:
        self._state, self._buffer = state, rest
        return True

    def _before_mark(self, mark: str) -> str:
        """Takes the text that can neither be part of a mark to come nor a blank before it."""
        text = self._buffer
        cut = len(text[: len(text) - overlap(text, (mark,))].rstrip())
        self._buffer = text[cut:]
        return text[:cut]


class ReasoningParser(_Machine):
    """Splits text into the reasoning between think tags and the answer after it.

    Blanks next to the tags belong to neither.

    Args:
        thinking: the text begins inside the reasoning, because the prompt has opened it.
    """

    begin = "<think>"
    end = "</think>"
    #: Whether the model begins inside the reasoning even when the prompt does not show it.
    implicit = False

    def __init__(self, thinking: bool = False) -> None:
        super().__init__(self._opened if thinking else self._before)

    @property
    def thinking(self) -> bool:
        """Whether the text that comes next is reasoning, as far as can be told."""
        return self._state in (self._opened, self._inside)

    def flush(self) -> Parsed:
        """Returns what was held back, at the end of the text."""
        held, self._buffer = self._buffer, ""
        return Parsed(reasoning=held) if self.thinking else Parsed(content=held)

    def _before(self, parsed: Parsed) -> bool:
        text = self._buffer.lstrip()
        if text.startswith(self.begin):
            return self._go(self._opened, text[len(self.begin) :])
        return not self.begin.startswith(text) and self._go(self._after, self._buffer)

    def _opened(self, parsed: Parsed) -> bool:
        self._buffer = self._buffer.lstrip()
        return self._go(self._inside, self._buffer) if self._buffer else False

    def _inside(self, parsed: Parsed) -> bool:
        before, mark, after = self._buffer.partition(self.end)
        parsed.reasoning += before.rstrip() if mark else self._before_mark(self.end)
        return self._go(self._closed, after) if mark else False

    def _closed(self, parsed: Parsed) -> bool:
        self._buffer = self._buffer.lstrip("\r\n")
        return self._go(self._after, self._buffer) if self._buffer else False

    def _after(self, parsed: Parsed) -> bool:
        parsed.content += self._buffer
        return self._go(self._after, "")


class DeepSeekR1Parser(ReasoningParser):
    """The same, for a model that begins inside the reasoning."""

    implicit = True


class HermesParser(_Machine):
    """Calls as `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, between pieces of content.

    Blanks next to a call are no content. `call_begin`, `call_end` and `separator` are how a grammar writes calls, and
    `mark` announces one.
    """

    mark = "<tool_call>"
    end_mark = "</tool_call>"
    call_begin = '<tool_call>\n{{"name": {name}, "arguments": '
    call_end = "}\n</tool_call>"
    separator = "\n"

    def __init__(self, new_id: Callable[[], str] | None = None) -> None:
        super().__init__(self._text)
        self._new_id = new_id or (lambda: f"call_{uuid.uuid4().hex[:24]}")
        # What stood before the object that is being read; content again if it turns out to be no call.
        self._mark = ""
        self._object = JsonObject()
        #: Calls that have begun, and those that are complete.
        self.begun = self.complete = 0

    def flush(self) -> Parsed:
        """Returns what was held back, at the end of the text."""
        held, self._buffer = self._buffer, ""
        if self._state == self._head:
            return Parsed(content=self._mark + held)
        return Parsed(content=held) if self._state == self._text and not (self.begun and held.isspace()) else Parsed()

    def _text(self, parsed: Parsed) -> bool:
        before, mark, after = self._buffer.partition(self.mark)
        if not mark:
            parsed.content += self._before_mark(self.mark)
            return False
        parsed.content += before.rstrip()
        return self._begin(before[len(before.rstrip()) :] + mark, after)

    def _begin(self, mark: str, rest: str) -> bool:
        self._mark, self._object = mark, JsonObject()
        return self._go(self._head, rest)

    def _head(self, parsed: Parsed) -> bool:
        if found := _HEAD.match(self._buffer):
            self._object = JsonObject()
            self._emit(parsed, json.loads(found[1], strict=False))
            return self._go(self._arguments, self._buffer[found.end() :])
        end = self._object.end(self._buffer)
        text = self._buffer[: end or None]
        if not _may_be_call(text) or (self.end_mark and self.end_mark in text):
            return self._give_up(parsed)
        if not end:
            return False
        # Only between marks can it be taken for a call without arguments.
        call = _whole_call(text, {} if self.end_mark else None)
        if call is None:
            return self._give_up(parsed)
        self._emit(parsed, *call)
        return self._close(self._buffer[end:])

    def _give_up(self, parsed: Parsed) -> bool:
        parsed.content += self._mark
        return self._go(self._text, self._buffer)

    def _arguments(self, parsed: Parsed) -> bool:
        end = self._object.end(self._buffer, again=False)
        parsed.tool_calls.append(ToolCallDelta(self.begun - 1, arguments=self._buffer[: end or None]))
        return self._go(self._tail, self._buffer[end:]) if end else self._go(self._arguments, "")

    def _tail(self, parsed: Parsed) -> bool:
        text = self._buffer.lstrip()
        if text.startswith(","):
            return "}" in text and self._close(text.partition("}")[2])
        return self._close(text.removeprefix("}")) if text else False

    def _close(self, rest: str) -> bool:
        self.complete += 1
        return self._go(self._behind, rest)

    def _behind(self, parsed: Parsed) -> bool:
        text = self._buffer.lstrip()
        if text.startswith(self.end_mark):
            return self._go(self._text, text[len(self.end_mark) :])
        return not self.end_mark.startswith(text) and self._go(self._text, self._buffer)

    def _emit(self, parsed: Parsed, name: str, arguments: str = "") -> None:
        parsed.tool_calls.append(ToolCallDelta(self.begun, self._new_id(), name, arguments))
        self.begun += 1


class Llama3Parser(HermesParser):
    """Calls as bare objects `{"name": …, "parameters": {…}}` at the start of the text, separated by `;`."""

    mark = "<|python_tag|>"
    end_mark = ""
    call_begin = '{{"name": {name}, "parameters": '
    call_end = "}"
    separator = "; "

    def _text(self, parsed: Parsed) -> bool:
        text = self._buffer.lstrip(" \n;," if self.begun else " \n").removeprefix(self.mark)
        if text.startswith("{"):
            return self._begin(self._buffer[: len(self._buffer) - len(text)], text)
        return not self.mark.startswith(text) and self._go(self._content, self._buffer)

    def _give_up(self, parsed: Parsed) -> bool:
        parsed.content += self._mark
        return self._go(self._content, self._buffer)

    def _content(self, parsed: Parsed) -> bool:
        parsed.content += self._buffer
        return self._go(self._content, "")


class JsonObject:
    """Finds the end of a JSON object that comes in pieces."""

    def __init__(self) -> None:
        self._depth = self._seen = 0
        self._in_string = self._escaped = False

    def end(self, text: str, again: bool = True) -> int:
        """Returns the length of `text` up to the object's last brace, or 0 if that is still to come.

        Args:
            text: the object so far, or what is new of it.
            again: whether `text` begins with what was seen before.
        """
        at = self._seen if again else 0
        self._seen = len(text)
        while found := _BRACES.search(text, at + self._escaped) if at < len(text) else None:
            self._escaped = False
            at = found.end()
            self._take(found[0])
            if found[0] == "}" and not self._in_string and self._depth == 0:
                return at
        self._escaped = self._escaped and at == len(text)
        return 0

    def _take(self, sign: str) -> None:
        if sign == '"':
            self._in_string = not self._in_string
        elif sign == "\\":
            self._escaped = self._in_string
        elif not self._in_string:
            self._depth += 1 if sign == "{" else -1


def _may_be_call(text: str) -> bool:
    head = re.sub(r"\s", "", text[:64])
    keys = head[1:]
    return not head or (head[0] == "{" and any(key.startswith(keys) or keys.startswith(key) for key in _FIRST_KEYS))


def _whole_call(text: str, no_arguments: dict[str, object] | None) -> tuple[str, str] | None:
    try:
        call = json.loads(text, strict=False)
    except ValueError:
        return None
    arguments = call.get("arguments", call.get("parameters", no_arguments))
    if not isinstance(call.get("name"), str) or not isinstance(arguments, dict):
        return None
    return call["name"], json.dumps(arguments, ensure_ascii=False)


#: Names for `engine_args.reasoning_parser`.
REASONING_PARSERS: Mapping[str, type[ReasoningParser]] = {"qwen3": ReasoningParser, "deepseek_r1": DeepSeekR1Parser}

#: Names for `engine_args.tool_parser`.
TOOL_PARSERS: Mapping[str, type[HermesParser]] = {"hermes": HermesParser, "llama3_json": Llama3Parser}


def guess_reasoning_parser(chat_template: str) -> str | None:
    """Returns the name of the parser that fits a chat template, if one does."""
    return "qwen3" if ReasoningParser.end in chat_template else None


def guess_tool_parser(chat_template: str) -> str | None:
    """Returns the name of the parser that fits a chat template, if one does."""
    if HermesParser.mark in chat_template and "<function=" not in chat_template:
        return "hermes"
    return "llama3_json" if Llama3Parser.mark in chat_template and '"parameters"' in chat_template else None
