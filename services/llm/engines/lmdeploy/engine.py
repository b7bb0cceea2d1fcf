"""`LLMEngine` over LMDeploy."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from gpt_server.services.common.errors import EngineUnavailable
from gpt_server.services.llm.collector import Collector
from gpt_server.services.llm.engine import (
    EngineConfig,
    GenerateRequest,
    LLMEngine,
    ModelDetails,
    Output,
    Prepared,
    Problem,
    TokenizeRequest,
    Tokens,
)
from gpt_server.services.llm.engines.lmdeploy import arguments

if TYPE_CHECKING:
    from gpt_server.services.llm.engines.lmdeploy.model import LoadedModel
    from gpt_server.services.llm.engines.lmdeploy.prompts import Plan, Planner

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class LMDeployEngine(LLMEngine):
    """Runs a model with LMDeploy, with its pytorch or its turbomind backend."""

    name: ClassVar[str] = "lmdeploy"

    _planner: "Planner"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._model: LoadedModel | None = None
        # One thread: a tokenizer must not be used by two at a time.
        self._tokenizing = ThreadPoolExecutor(1, "lmdeploy-tokenizer")
        self._collectors: set[Collector] = set()

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        # LMDeploy takes many seconds to import.
        await asyncio.to_thread(_import)
        from gpt_server.services.llm.engines.lmdeploy import model, prompts

        self._model = await model.load(self.config, self._die)
        self._planner = prompts.Planner(self._model)
        return self._model.details

    async def close(self) -> None:
        model, self._model = self._model, None
        self._fail_all()
        if model is not None:
            await model.embedded.close()
        self._tokenizing.shutdown(wait=False)

    async def prepare(self, request: GenerateRequest) -> Prepared:
        self._running_model()
        return await self._tokenizing_thread(self._planner.plan, request)

    async def generate(self, prepared: Prepared) -> AsyncGenerator[Output, None]:
        from gpt_server.services.llm.engines.lmdeploy.stream import Stream

        model, plan = self._running_model(), cast("Plan", prepared)
        collector = Collector()
        self._collectors.add(collector)
        tell = model.embedded.tell
        stream = Stream(
            plan,
            self._planner.choices(plan),
            model.vocabulary,
            deliver=lambda output: tell(partial(collector.put, output)),
        )
        running = model.embedded.submit(stream.run(model.embedded))
        running.add_done_callback(lambda done: tell(partial(_fail, collector, done)))
        finished = False
        try:
            while not finished:
                output = await collector.get()
                finished = output.finished is not None
                yield output
        finally:
            self._collectors.discard(collector)
            if not finished:
                running.cancel()

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        model = self._running_model()
        ids = await self._tokenizing_thread(self._planner.tokenize, request)
        return Tokens(ids, model.tokenizer.convert_ids_to_tokens(list(ids)) if request.return_token_strings else ())

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        self._running_model()
        return await self._tokenizing_thread(self._planner.detokenize, token_ids)

    def running(self) -> int:
        return self._model.embedded.running() if self._model else 0

    async def _tokenizing_thread(self, call: Callable[[Argument], Result], argument: Argument) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, call, argument)

    def _running_model(self) -> "LoadedModel":
        if self._model is None or self.died.is_set():
            raise _unavailable()
        return self._model

    def _die(self) -> None:
        self.died.set()
        self._fail_all()

    def _fail_all(self) -> None:
        for collector in self._collectors:
            collector.fail(_unavailable())


def _import() -> None:
    from gpt_server.services.llm.engines.lmdeploy import library, prompts  # noqa: F401 (the first before all else)


def _fail(collector: Collector, done: "Future[None]") -> None:
    """Ends a request whose sequences have ended with an error."""
    if not done.cancelled() and (error := done.exception()) is not None:
        found = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
        collector.fail(found)


def _unavailable() -> EngineUnavailable:
    return EngineUnavailable("the engine has died or is closed")
