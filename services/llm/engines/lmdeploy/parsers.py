"""Readers of reasoning and tool calls: ours, and LMDeploy's for dialects that ours do not know.

Of reasoning LMDeploy knows one pair of tags, as ours do, and takes for granted that a model begins inside.
"""

from collections.abc import Sequence
from typing import Any

from lmdeploy.serve.openai.protocol import ChatCompletionRequest
from lmdeploy.serve.parsers.tool_parser import ToolParserManager

from gpt_server.services.llm.choice import CallReader
from gpt_server.services.llm.engine import Chat, ToolCallDelta
from gpt_server.services.llm.parsing import REASONING_PARSERS, TOOL_PARSERS, Parsed
from gpt_server.services.llm.template import parameters
from gpt_server.services.llm.text import overlap


class Calls:
    """Finds tool calls in an answer, with a parser of LMDeploy's.

    Args:
        name: of the parser.
        chat: says which tools there are; calls of others are none to LMDeploy.
    """

    def __init__(self, name: str, chat: Chat) -> None:
        self._parser = ToolParserManager.get(name)()
        self._parser.adjust_request(_request(chat))
        self._one = chat.parallel_tool_calls is False
        self._open, *self._marks = _marks(name)
        self._buffer = ""
        self._inside = self._behind = False
        #: Calls that have begun, and blocks of calls that have ended.
        self.begun = self.complete = 0

    def feed(self, text: str) -> Parsed:
        """Returns what is new."""
        self._buffer += text
        return self._read(final=False)

    def flush(self) -> Parsed:
        """Returns what was held back, at the end of the text."""
        return self._read(final=True)

    def _read(self, final: bool) -> Parsed:
        parsed = Parsed()
        while self._buffer and (self._call(parsed, final) if self._inside else self._content(parsed, final)):
            pass
        return parsed

    def _content(self, parsed: Parsed, final: bool) -> bool:
        before, mark, after = self._buffer.partition(self._open)
        content = before if mark or final else before[: len(before) - overlap(before, (self._open,))]
        if mark or not final:
            content = content.rstrip()  # blanks next to a call are no content
        self._buffer = after if mark else before[len(content) :]
        parsed.content += content.lstrip() if self._behind else content
        self._behind = self._behind and not content
        if mark:
            self._parser.begin_tool_block()
            self._inside = True
        return bool(mark)

    def _call(self, parsed: Parsed, final: bool) -> bool:
        # Its parsers take a mark that comes in two pieces for none.
        held = 0 if final else overlap(self._buffer, self._marks)
        text = self._buffer[: len(self._buffer) - held]
        found: list[Any] = []
        consumed = self._parser.feed_tool_block(text, found, final=final)
        parsed.tool_calls += [delta for item in found for delta in self._fragments(item)]
        self._buffer = self._buffer[consumed:]
        if self._parser.block_closed:
            self._inside, self._behind = False, True
            self.complete += 1
        return bool(self._parser.block_closed)

    def _fragments(self, item: Any) -> Sequence[ToolCallDelta]:
        self.begun = max(self.begun, item.index + 1)
        delta = ToolCallDelta(item.index, item.id or "", item.function.name or "", item.function.arguments or "")
        return [delta] if (delta.name or delta.arguments) and not (self._one and item.index) else []


def calls(name: str, chat: Chat) -> CallReader:
    """Returns a reader of calls; `name` is one of ours or of LMDeploy's."""
    return TOOL_PARSERS[name]() if name in TOOL_PARSERS else Calls(name, chat)


def shown(reasoning: str | None, calls: str | None) -> Sequence[str]:
    """Returns the marks that readers look for; a special token that is in one must be shown to them."""
    found: list[str] = []
    if reasoning:
        found += (REASONING_PARSERS[reasoning].begin, REASONING_PARSERS[reasoning].end)
    if calls:
        ours = TOOL_PARSERS.get(calls)
        found += (ours.mark, ours.end_mark) if ours else _marks(calls)
    return found


def _marks(name: str) -> Sequence[str]:
    """Returns the marks of a parser of LMDeploy's; the first one opens calls."""
    parser = ToolParserManager.get(name)
    inside = [getattr(parser, name) for name in dir(parser) if not name.startswith("__")]
    inside += (parser.get_tool_close_tag(),)
    return parser.get_tool_open_tag(), *(mark for mark in inside if isinstance(mark, str) and "<" in mark)


def _request(chat: Chat) -> ChatCompletionRequest:
    functions = [
        {"name": tool.name, "description": tool.description, "parameters": parameters(tool)} for tool in chat.tools
    ]
    tools = [{"type": "function", "function": function} for function in functions]
    return ChatCompletionRequest(model="", messages=[], tools=tools, tool_choice="auto")
