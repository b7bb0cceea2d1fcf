"""`LLMEngine` over transformers."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
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
from gpt_server.services.llm.engines.hf.arguments import HFArguments, check

if TYPE_CHECKING:
    from gpt_server.services.llm.engines.hf.model import LoadedModel
    from gpt_server.services.llm.engines.hf.plan import Plan, Planner
    from gpt_server.services.llm.engines.hf.scheduler import News, Scheduler

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class HFEngine(LLMEngine):
    """Runs a causal language model with transformers: a folder or hub id, on the CPU or GPUs."""

    name: ClassVar[str] = "hf"

    _model: "LoadedModel"
    _planner: "Planner"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._scheduler: Scheduler | None = None
        # One thread: a tokenizer must not be used by two at a time.
        self._tokenizing = ThreadPoolExecutor(1, "hf-tokenizer")
        self._collectors: set[Collector] = set()

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        return check(config)

    async def start(self) -> ModelDetails:
        await asyncio.to_thread(self._load, asyncio.get_running_loop())
        return self._model.details

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        # torch and transformers take seconds to import; `check` does without.
        from gpt_server.services.llm.engines.hf import model, plan, scheduler

        arguments = HFArguments.model_validate(dict(self.config.engine_args))
        self._model = model.load(self.config)
        self._planner = plan.Planner(self._model)
        self._scheduler = scheduler.Scheduler(
            self._model,
            self.config.max_running,
            arguments.prefill_chunk_tokens,
            deliver=lambda news: loop.call_soon_threadsafe(_deliver, news),
            died=lambda error: loop.call_soon_threadsafe(self._die, error),
        )

    async def close(self) -> None:
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            await asyncio.to_thread(scheduler.stop)
        self._tokenizing.shutdown(wait=False)
        self._fail_all()

    async def prepare(self, request: GenerateRequest) -> Prepared:
        plan = await self._tokenizing_thread(self._planner.plan, request)
        if plan.may_need_grammar:
            await asyncio.to_thread(self._planner.compile, plan)
        return plan

    async def generate(self, prepared: Prepared) -> AsyncGenerator[Output, None]:
        scheduler = self._running_scheduler()
        collector = Collector()
        self._collectors.add(collector)
        job = scheduler.submit(cast("Plan", prepared), collector)
        finished = False
        try:
            while not finished:
                output = await collector.get()
                finished = output.finished is not None
                yield output
        finally:
            self._collectors.discard(collector)
            if not finished:
                scheduler.abort(job)

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        ids = await self._tokenizing_thread(self._planner.tokenize, request)
        strings = self._model.tokenizer.convert_ids_to_tokens(list(ids)) if request.return_token_strings else ()
        return Tokens(ids, strings)

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return await self._tokenizing_thread(self._planner.detokenize, token_ids)

    async def load_adapter(self, name: str, folder: Path) -> None:
        load = partial(self._model.adapters.load, name, folder)
        await asyncio.wrap_future(self._running_scheduler().call(load))

    async def unload_adapter(self, name: str) -> None:
        unload = partial(self._model.adapters.unload, name)
        await asyncio.wrap_future(self._running_scheduler().call(unload))

    def running(self) -> int:
        return self._scheduler.running() if self._scheduler else 0

    async def _tokenizing_thread(self, call: Callable[[Argument], Result], argument: Argument) -> Result:
        self._running_scheduler()
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, call, argument)

    def _running_scheduler(self) -> "Scheduler":
        if self._scheduler is None or self.died.is_set():
            raise _unavailable()
        return self._scheduler

    def _die(self, error: BaseException) -> None:
        self.died.set()
        self._fail_all()

    def _fail_all(self) -> None:
        for collector in self._collectors:
            collector.fail(_unavailable())


def _deliver(news: "Sequence[News]") -> None:
    for collector, new in news:
        if isinstance(new, Output):
            collector.put(new)
        else:
            collector.fail(new)


def _unavailable() -> EngineUnavailable:
    return EngineUnavailable("the engine has died or is closed")
