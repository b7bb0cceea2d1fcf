"""Answers by script: one token per word, no model. For tests of everything around engines.

A request scripts its answer by `chat.template_args_json` = `{"fake": {...}}`, or by a text prompt that is such an
object; the keys are the fields of `Script`. Without one, the answer is "You said: …". Tests in the same process can
hold all requests at a gate, and await what they need: `gates`, `idle`, `steps`.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.common.errors import EngineUnavailable, InvalidField, WrongModelKind
from gpt_server.services.common.gates import Gate as Gate
from gpt_server.services.llm.engine import (
    Capability,
    Chat,
    EngineConfig,
    Finished,
    GenerateRequest,
    LLMEngine,
    ModelDetails,
    Output,
    Prepared,
    Problem,
    Sampling,
    Timings,
    TokenizeRequest,
    Tokens,
    Usage,
)
from gpt_server.services.llm.engines.fake_plan import ChoicePlan, plan
from gpt_server.services.llm.engines.fake_script import (
    Script,
    Vocabulary,
    prompt_logprobs,
    prompt_words,
    refuse_unknown,
    script_of,
)

PHASES = ("prepare", "prefill", "decode", "adapter")
EOS_TOKEN_ID = 0
VOCAB_SIZE = 1_000_000
CAPABILITIES: frozenset[Capability] = frozenset(
    {"chat", "completion", "tools", "reasoning", "structured_output", "logprobs", "image_input"}
)
CHAT_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


class EngineArgs(BaseModel):
    """What `engine_args` may hold; times in seconds. `load_error`: `start` fails with it. `chat`: has a template."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prefill_s: float = Field(default=0.0, ge=0)
    token_s: float = Field(default=0.0, ge=0)
    load_s: float = Field(default=0.0, ge=0)
    load_error: str = ""
    max_context_tokens: int = Field(default=4096, ge=1)
    chat: bool = True


@dataclass(slots=True)
class FakePrepared(Prepared):
    """A request with the answer it will get."""

    script: Script
    choices: Sequence[ChoicePlan]


class FakeEngine(LLMEngine):
    """The engine. `engine_args`: see `EngineArgs`."""

    name = "fake"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.gates = {phase: Gate() for phase in PHASES}
        self.idle = asyncio.Event()
        """Set while no sequence runs."""
        self.idle.set()
        self.adapters = {name: Path(folder) for name, folder in config.adapters.items()}
        self.steps = 0
        """Steps of decoding computed so far, of all requests together."""
        self._args = EngineArgs.model_validate(config.engine_args)
        self._vocabulary = Vocabulary(VOCAB_SIZE)
        self._running = 0
        self._requests = 0

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns unknown arguments and such of a wrong type."""
        try:
            EngineArgs.model_validate(config.engine_args)
        except ValidationError as error:
            return [_problem(fault) for fault in error.errors()]
        return []

    async def start(self) -> ModelDetails:
        """Waits for `load_s`, and fails if `load_error` says so."""
        await asyncio.sleep(self._args.load_s)
        if self._args.load_error:
            raise RuntimeError(self._args.load_error)
        return ModelDetails(
            max_context_tokens=self._args.max_context_tokens,
            vocab_size=VOCAB_SIZE,
            eos_token_ids=(EOS_TOKEN_ID,),
            capabilities=CAPABILITIES - (frozenset() if self._args.chat else {"chat"}),
            default_sampling=Sampling(temperature=1.0),
            chat_template=CHAT_TEMPLATE if self._args.chat else "",
        )

    async def close(self) -> None:
        """Has nothing to end: generators belong to their callers."""

    async def prepare(self, request: GenerateRequest) -> FakePrepared:
        """Reads the script and plans the whole answer."""
        await self.gates["prepare"].passed()
        refuse_unknown(request)
        script = script_of(request.chat, request.text)
        prompt_token_ids = self._truncated(self._prompt(request.chat, request.text, request.token_ids), request)
        self._requests += 1
        choices = plan(
            request,
            script,
            self._vocabulary,
            prompt_tokens=len(prompt_token_ids),
            max_context_tokens=self._args.max_context_tokens,
            number=self._requests,
        )
        return FakePrepared(request, prompt_token_ids, script, choices)

    async def generate(self, prepared: Prepared) -> AsyncGenerator[Output, None]:
        """Plays the plan: a step is one token of every choice; steps that a slow reader missed come together."""
        if not isinstance(prepared, FakePrepared):
            raise TypeError("prepared by another engine")
        self._running += len(prepared.choices)
        self.idle.clear()
        try:
            async with aclosing(self._play(prepared)) as outputs:
                async for output in outputs:
                    yield output
        finally:
            self._running -= len(prepared.choices)
            if not self._running:
                self.idle.set()

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        """Returns the words of the prompt."""
        ids = self._prompt(request.chat, request.text)
        return Tokens(ids, self._vocabulary.words(ids) if request.return_token_strings else ())

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the words behind ids that this engine has given."""
        return "".join(self._vocabulary.words(token_ids))

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Takes any folder whose file of settings is a JSON object."""
        await self.gates["adapter"].passed()
        try:
            dict(json.loads((folder / "adapter_config.json").read_text()))
        except ValueError as error:
            raise InvalidField("folder", f"the adapter does not fit the model: {error}") from error
        self.adapters[name] = folder

    async def unload_adapter(self, name: str) -> None:
        """Forgets it."""
        del self.adapters[name]

    def running(self) -> int:
        """Returns the choices of generators that are not closed."""
        return self._running

    def _prompt(self, chat: Chat | None, text: str | None, token_ids: Sequence[int] | None = None) -> Sequence[int]:
        if chat is not None and not self._args.chat:
            raise WrongModelKind("the model has no chat template; send it text")
        if token_ids is None:
            return self._vocabulary.ids(prompt_words(chat, text))
        self._vocabulary.words(token_ids, "token_ids.ids")
        return token_ids

    def _truncated(self, prompt: Sequence[int], request: GenerateRequest) -> Sequence[int]:
        kept = request.truncate_prompt_tokens
        if kept == -1:
            kept = self._args.max_context_tokens - (request.sampling.max_tokens or 1)
        return prompt if kept is None or kept < 1 else prompt[-kept:]

    async def _play(self, prepared: FakePrepared) -> AsyncGenerator[Output, None]:
        script, choices = prepared.script, prepared.choices
        began_s = time.monotonic()
        await self.gates["prefill"].passed()
        await asyncio.sleep(self._args.prefill_s if script.prefill_s is None else script.prefill_s)
        first_s = time.monotonic()
        if scores := prompt_logprobs(prepared.prompt_token_ids, prepared.request.sampling, self._vocabulary):
            yield Output(prompt_logprobs=scores)
        pace_s = self._args.token_s if script.token_s is None else script.token_s
        steps = max(1, *(len(choice.deltas) for choice in choices))
        done = 0
        while done < steps:
            begin, due = done, await _due(done, first_s, pace_s)
            done = min(due, steps) if script.faults == (None, None, None) else begin + 1
            await self.gates["decode"].passed()
            self._fail_if_scripted(script, begin)
            self.steps += done - begin
            deltas = [delta for choice in choices for delta in choice.deltas[begin:done]]
            last = done == steps and steps not in script.faults
            timings = Timings(prefill_s=first_s - began_s, decode_s=time.monotonic() - first_s)
            yield Output(deltas, _finished(prepared, timings) if last else None)
        self._fail_if_scripted(script, steps)

    def _fail_if_scripted(self, script: Script, step: int) -> None:
        if step == script.crash_after:
            raise RuntimeError("secret: the engine has crashed, as scripted")
        if step == script.die_after:
            self.died.set()
        if self.died.is_set() or step == script.fail_after:
            raise EngineUnavailable("the engine has failed, as scripted")


async def _due(done: int, first_s: float, pace_s: float) -> int:
    """Waits for the step after `done` ones; returns how many have come by then: the clock waits for no reader."""
    await asyncio.sleep(max(0.0, first_s + done * pace_s - time.monotonic()))
    return max(done + 1, int((time.monotonic() - first_s) / pace_s) + 1) if pace_s else done + 1


def _finished(prepared: FakePrepared, timings: Timings) -> Finished:
    usage = Usage(
        prompt_tokens=len(prepared.prompt_token_ids),
        completion_tokens=sum(choice.sampled for choice in prepared.choices),
        cached_tokens=0,
        reasoning_tokens=sum(choice.reasoning_tokens for choice in prepared.choices),
    )
    return Finished([choice.finish for choice in prepared.choices], usage, timings)


def _problem(fault: Any) -> Problem:
    allowed = f"unknown argument; allowed: {', '.join(EngineArgs.model_fields)}"
    message = allowed if fault["type"] == "extra_forbidden" else fault["msg"].replace("Input should", "must")
    return Problem(".".join(map(str, ("engine_args", *fault["loc"]))), message)
