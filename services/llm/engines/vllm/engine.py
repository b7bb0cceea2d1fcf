"""`LLMEngine` over vLLM."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from gpt_server.services.common import vllm
from gpt_server.services.common.errors import EngineUnavailable, InvalidField
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
        self._adapters_loaded = 0

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        model = self._model = await asyncio.to_thread(self._load)
        self._pulse = asyncio.create_task(vllm.watch(model.llm, self.died))
        for name, folder in self.config.adapters.items():
            await self.load_adapter(name, Path(folder))
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

    async def load_adapter(self, name: str, folder: Path) -> None:
        model = self._running_model()
        self._adapters_loaded += 1  # an id names one adapter for ever: vLLM keeps what it knows of one
        from vllm.lora.request import LoRARequest

        adapter = LoRARequest(name, self._adapters_loaded, str(folder))
        try:
            # One that vLLM meets for the first time in a request and cannot load would end its core.
            await model.llm.add_lora(adapter)
        except Exception as error:
            if model.llm.errored:
                raise EngineUnavailable("the engine has died") from error
            raise InvalidField("folder", f"the adapter does not fit the model: {error}") from error
        model.adapters[name] = adapter

    async def unload_adapter(self, name: str) -> None:
        model = self._running_model()
        await model.llm.remove_lora(model.adapters.pop(name).lora_int_id)

    def running(self) -> int:
        return self._model.llm.get_num_unfinished_requests() if self._model else 0

    def _running_model(self) -> "LoadedModel":
        if self._model is None or self.died.is_set():
            raise EngineUnavailable("the engine has died or is closed")
        return self._model
