"""`LLMEngine` over vLLM."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar, cast

from gpt_server.services.common import vllm
from gpt_server.services.common.errors import EngineUnavailable
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
from gpt_server.services.llm.engines.vllm import arguments

if TYPE_CHECKING:
    from gpt_server.services.llm.engines.vllm.model import LoadedModel
    from gpt_server.services.llm.engines.vllm.prompts import Plan, Planner


class VLLMEngine(LLMEngine):
    """Runs a model with vLLM's `AsyncLLM`, whose core is a process of its own."""

    name: ClassVar[str] = "vllm"

    _planner: "Planner"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._model: LoadedModel | None = None
        self._pulse: asyncio.Task[None] | None = None

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        model = self._model = await asyncio.to_thread(self._load)
        self._pulse = asyncio.create_task(vllm.watch(model.llm, self.died))
        for adapter in model.adapters.values():
            # An adapter that vLLM meets for the first time in a request and cannot load would end its core.
            await model.llm.add_lora(adapter)
        return model.details

    def _load(self) -> "LoadedModel":
        # vLLM takes many seconds to import.
        from gpt_server.services.llm.engines.vllm import model, prompts

        loaded = model.load(self.config)
        self._planner = prompts.Planner(loaded)
        return loaded

    async def close(self) -> None:
        model, self._model = self._model, None
        if self._pulse is not None:
            self._pulse.cancel()
        if model is not None:
            await vllm.shut_down(model.llm)

    async def prepare(self, request: GenerateRequest) -> Prepared:
        self._running_model()
        return await self._planner.plan(request)

    async def generate(self, prepared: Prepared) -> AsyncGenerator[Output, None]:
        from gpt_server.services.llm.engines.vllm.errors import failure
        from gpt_server.services.llm.engines.vllm.stream import Stream

        model, plan = self._running_model(), cast("Plan", prepared)
        stream = Stream(plan, self._planner.parser, model.vocabulary, model.thinks)
        results = model.llm.generate(
            plan.engine_input,
            plan.params,
            plan.request.request_id,
            lora_request=plan.lora,
            priority=plan.request.priority or 0,
            **plan.reasoning,
        )
        try:
            async with aclosing(results):
                async for result in results:
                    if output := stream.take(result):
                        yield output
        except Exception as error:
            if model.llm.errored:
                self.died.set()
            raise failure(error) from error

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        model = self._running_model()
        ids = await self._planner.tokenize(request)
        tokenizer = model.llm.renderer.get_tokenizer()
        return Tokens(ids, tokenizer.convert_ids_to_tokens(list(ids)) if request.return_token_strings else ())

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        self._running_model()
        return await asyncio.to_thread(self._planner.detokenize, token_ids)

    def running(self) -> int:
        return self._model.llm.get_num_unfinished_requests() if self._model else 0

    def _running_model(self) -> "LoadedModel":
        if self._model is None or self.died.is_set():
            raise EngineUnavailable("the engine has died or is closed")
        return self._model
