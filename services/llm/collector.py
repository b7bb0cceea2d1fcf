"""Where the output of one request waits on the event loop until it is asked for."""

import asyncio
from collections.abc import Sequence

from gpt_server.services.llm.engine import Delta, Finished, Output, TokenLogprob, ToolCallDelta


class Collector:
    """Merges what a library's thread sends into one output. Used on the event loop only."""

    def __init__(self) -> None:
        self._deltas: dict[int, Delta] = {}
        self._prompt_logprobs: Sequence[TokenLogprob] = ()
        self._finished: Finished | None = None
        self._error: BaseException | None = None
        self._news = asyncio.Event()

    def put(self, output: Output) -> None:
        """Adds the output of one step."""
        for delta in output.deltas:
            waiting = self._deltas.setdefault(delta.choice, delta)
            if waiting is not delta:
                _merge(waiting, delta)
        self._prompt_logprobs = output.prompt_logprobs or self._prompt_logprobs
        self._finished = output.finished
        self._news.set()

    def fail(self, error: BaseException) -> None:
        """Ends the request with an error."""
        self._error = error
        self._news.set()

    async def get(self) -> Output:
        """Returns all that is new, as soon as there is anything. Raises what `fail` was given, after the output."""
        await self._news.wait()
        self._news.clear()
        if self._error is not None and not self._deltas:
            raise self._error
        output = Output(list(self._deltas.values()), self._finished, self._prompt_logprobs)
        self._deltas, self._prompt_logprobs = {}, ()
        if self._error is not None:
            self._news.set()
        return output


def _merge(waiting: Delta, new: Delta) -> None:
    waiting.content += new.content
    waiting.reasoning += new.reasoning
    waiting.logprobs = [*waiting.logprobs, *new.logprobs]
    waiting.token_ids = [*waiting.token_ids, *new.token_ids]
    calls = list(waiting.tool_calls)
    for call in new.tool_calls:
        if calls and calls[-1].index == call.index:
            first = calls[-1]
            calls[-1] = ToolCallDelta(first.index, first.id, first.name, first.arguments + call.arguments)
        else:
            calls.append(call)
    waiting.tool_calls = calls
