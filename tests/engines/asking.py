"""Requests to an engine and their whole answers, in few words."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count

from gpt_server.services.llm.engine import (
    Chat,
    Finished,
    GenerateRequest,
    LLMEngine,
    Message,
    ModelDetails,
    Output,
    Part,
    Sampling,
    TokenLogprob,
    Tool,
    ToolChoice,
)

_numbers = count()

#: Enough for every wait on a busy machine; none of them is there to measure time.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Subject:
    """An engine that runs, and what `start` said of its model."""

    engine: LLMEngine
    details: ModelDetails


@dataclass
class Answer:
    """All that a request yielded."""

    prompt_token_ids: list[int]
    finished: Finished
    outputs: list[Output] = field(default_factory=list)

    def text(self, choice: int = 0) -> str:
        """Returns the content."""
        return "".join(delta.content for output in self.outputs for delta in output.deltas if delta.choice == choice)

    def reasoning(self, choice: int = 0) -> str:
        """Returns the reasoning."""
        return "".join(delta.reasoning for output in self.outputs for delta in output.deltas if delta.choice == choice)

    def token_ids(self, choice: int = 0) -> list[int]:
        """Returns the ids of the tokens, stops excluded; needs `return_token_ids`."""
        return [
            id_
            for output in self.outputs
            for delta in output.deltas
            if delta.choice == choice
            for id_ in delta.token_ids
        ]

    def logprobs(self, choice: int = 0) -> list[TokenLogprob]:
        """Returns what was reported of each token."""
        return [
            one
            for output in self.outputs
            for delta in output.deltas
            if delta.choice == choice
            for one in delta.logprobs
        ]

    def prompt_logprobs(self) -> list[TokenLogprob]:
        """Returns what was reported of each token of the prompt."""
        return [one for output in self.outputs for one in output.prompt_logprobs]

    def calls(self, choice: int = 0) -> list[tuple[str, str]]:
        """Returns name and arguments of each tool call."""
        calls: list[tuple[str, str]] = []
        ids = set()
        for output in self.outputs:
            for delta in output.deltas:
                for call in delta.tool_calls if delta.choice == choice else ():
                    if call.id:
                        assert call.name
                        assert call.id not in ids
                        ids.add(call.id)
                        calls.append((call.name, ""))
                    else:
                        assert not call.name
                    assert call.index == len(calls) - 1
                    calls[-1] = (calls[-1][0], calls[-1][1] + call.arguments)
        return calls


def request(
    says: str = "Hello, who are you?",
    *,
    sampling: Sampling | None = None,
    tools: tuple[Tool, ...] = (),
    tool_choice: ToolChoice | None = None,
    parallel_tool_calls: bool | None = None,
    template_args_json: str = "",
    **fields: object,
) -> GenerateRequest:
    """Makes a greedy chat request of one message, of at most 24 tokens, which returns token ids."""
    chat = Chat(
        [Message("user", [Part(text=says)])],
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=parallel_tool_calls,
        template_args_json=template_args_json,
    )
    options: dict[str, object] = {"chat": chat, "sampling": sampling or greedy(), "return_token_ids": True} | fields
    if options.get("token_ids") is not None or options.get("text") is not None:
        options["chat"] = None
    return GenerateRequest(request_id=f"test-{next(_numbers)}", model="test", **options)  # type: ignore[arg-type]


def greedy(max_tokens: int = 24, **fields: object) -> Sampling:
    """Makes greedy sampling."""
    return Sampling(temperature=0, max_tokens=max_tokens, **fields)  # type: ignore[arg-type]


def undecided(**fields: object) -> Sampling:
    """Makes sampling that has to choose, however sure of itself the model is: among 40 tokens, raised alike."""
    return Sampling(temperature=2.0, top_p=1.0, logit_bias=dict.fromkeys(range(40, 80), 100.0), **fields)  # type: ignore[arg-type]


async def ask(engine: LLMEngine, wanted: GenerateRequest) -> Answer:
    """Returns the answer to a request, after checks of what holds for every answer."""
    prepared = await engine.prepare(wanted)
    outputs: list[Output] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(engine.generate(prepared)) as stream:
        async for output in stream:
            outputs.append(output)
    assert all(output.finished is None for output in outputs[:-1])
    assert not any(output.prompt_logprobs for output in outputs[1:])
    finished = outputs[-1].finished
    assert finished is not None
    answer = Answer(list(prepared.prompt_token_ids), finished, outputs)
    _check(answer, wanted)
    return answer


def _check(answer: Answer, wanted: GenerateRequest) -> None:
    choices = range(wanted.sampling.n or 1)
    assert [finish.choice for finish in answer.finished.choices] == list(choices)
    assert {delta.choice for output in answer.outputs for delta in output.deltas} <= set(choices)
    usage = answer.finished.usage
    assert usage.prompt_tokens == len(answer.prompt_token_ids)
    if wanted.return_token_ids:
        shown = sum(len(answer.token_ids(choice)) for choice in choices)
        ended = sum(finish.finish_reason != "length" for finish in answer.finished.choices)
        # A choice that did not end by length has sampled its end too, which is not shown.
        assert shown <= usage.completion_tokens <= shown + 4 * ended
        if not ended:
            assert usage.completion_tokens == shown
    assert min(answer.finished.timings.prefill_s, answer.finished.timings.decode_s) >= 0
    for choice in choices:
        answer.calls(choice)


async def idle(engine: LLMEngine) -> None:
    """Returns when the engine holds no sequence. Polls: the contract has no event for it."""
    async with asyncio.timeout(PATIENCE_S):
        while engine.running():
            await asyncio.sleep(0.002)


async def busy(engine: LLMEngine, sequences: int = 1) -> None:
    """Returns when the engine holds so many sequences."""
    async with asyncio.timeout(PATIENCE_S):
        while engine.running() < sequences:
            await asyncio.sleep(0.002)
