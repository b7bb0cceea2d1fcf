"""`LLMEngine` over SGLang."""

import asyncio
import signal
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

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
from gpt_server.services.llm.engines.sglang import arguments

if TYPE_CHECKING:
    from gpt_server.services.llm.engines.sglang.model import LoadedModel
    from gpt_server.services.llm.engines.sglang.prompts import Plan, Planner

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class SGLangEngine(LLMEngine):
    """Runs a model with SGLang, whose scheduler and detokenizer are processes of their own."""

    name: ClassVar[str] = "sglang"

    #: SGLang keeps its configuration in globals: one of its engines at a time in a process.
    _in_use: ClassVar[bool] = False

    _planner: "Planner"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._model: LoadedModel | None = None
        # One thread: a tokenizer must not be used by two at a time.
        self._tokenizing = ThreadPoolExecutor(1, "sglang-tokenizer")

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        if SGLangEngine._in_use:
            raise RuntimeError("SGLang runs one model in a process; give this one a process of its own")
        SGLangEngine._in_use = True
        # Its processes send this when they fail; unheard, it would end this one on the spot.
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, self._die)
        model = self._model = await asyncio.to_thread(self._load)
        model.sglang.watch(self._die)
        for name, folder in self.config.adapters.items():
            await self.load_adapter(name, Path(folder))
        return model.details

    def _load(self) -> "LoadedModel":
        # SGLang takes many seconds to import.
        from gpt_server.services.llm.engines.sglang import model, prompts

        loaded = model.load(self.config)
        self._planner = prompts.Planner(loaded)
        return loaded

    async def close(self) -> None:
        model, self._model = self._model, None
        if model is not None:
            model.sglang.fail_all("the engine is closed")
            model.sglang.unwatch()
            await asyncio.to_thread(model.sglang.close)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGQUIT)
        self._tokenizing.shutdown(wait=False)
        SGLangEngine._in_use = False

    async def prepare(self, request: GenerateRequest) -> Prepared:
        self._running_model()
        return await self._tokenizing_thread(self._planner.plan, request)

    async def generate(self, prepared: Prepared) -> AsyncGenerator[Output, None]:
        from gpt_server.services.llm.engines.sglang.stream import Stream

        model, plan = self._running_model(), cast("Plan", prepared)
        stream = Stream(plan, self._planner.choices(plan), model.vocabulary, model.details.eos_token_ids)
        try:
            async with aclosing(await model.sglang.async_generate(**self._arguments(plan), stream=True)) as results:
                async for result in results:
                    output, is_over = stream.take(result)
                    if output:
                        yield output
                        if output.finished:
                            return
                    if is_over:
                        model.sglang.tokenizer_manager.abort_request(result["meta_info"]["id"])
        except ValueError as error:
            raise InvalidField("sampling", str(error)) from error

    def _arguments(self, plan: "Plan") -> dict[str, Any]:
        """Returns the request as SGLang takes it: one for each choice, since each has wishes of its own."""
        from gpt_server.services.llm.engines.sglang.shaping import Wishes, shaping

        request, n = plan.request, len(plan.wishes)
        asks = request.sampling
        columns: dict[str, list[Any]] = {
            "input_ids": [list(plan.prompt_token_ids)] * n,
            # Of one length, since SGLang aborts whatever begins with an id.
            "rid": [uuid.uuid4().hex for _ in range(n)],
            "sampling_params": [dict(plan.params) for _ in range(n)],
        }
        if any(wishes != Wishes() for wishes in plan.wishes):
            for params, wishes in zip(columns["sampling_params"], plan.wishes, strict=True):
                params["custom_params"] = wishes.params()
            columns["custom_logit_processor"] = [shaping()] * n
        if plan.pictures:
            del columns["input_ids"]
            columns |= {"prompt": [plan.rendered] * n, "image_data": [list(plan.pictures) for _ in range(n)]}
        if request.adapter:
            columns["lora_path"] = [request.adapter] * n
        if request.cache_salt:
            columns["cache_salt"] = [request.cache_salt] * n
        found: dict[str, Any] = columns if n > 1 else {name: values[0] for name, values in columns.items()}
        if asks.logprobs or asks.prompt_logprobs is not None:
            found["return_logprob"] = True
            found["logprob_start_len"] = -1 if asks.prompt_logprobs is None else 0
            found["top_logprobs_num"] = max(asks.top_logprobs or 0, asks.prompt_logprobs or 0)
        return found | {"priority": request.priority or 0}

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        model = self._running_model()
        ids = await self._tokenizing_thread(self._planner.tokenize, request)
        return Tokens(ids, model.tokenizer.convert_ids_to_tokens(list(ids)) if request.return_token_strings else ())

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        self._running_model()
        return await self._tokenizing_thread(self._planner.detokenize, token_ids)

    async def load_adapter(self, name: str, folder: Path) -> None:
        sglang = self._running_model().sglang
        result = await self._unless_dead(sglang.async_load_lora_adapter(name, str(folder)))
        if not result.success:
            raise InvalidField("folder", f"the adapter does not fit the model: {result.error_message}")

    async def unload_adapter(self, name: str) -> None:
        result = await self._unless_dead(self._running_model().sglang.async_unload_lora_adapter(name))
        if not result.success:
            raise RuntimeError(f"SGLang keeps the adapter {name}: {result.error_message}")

    def running(self) -> int:
        return len(self._model.sglang.tokenizer_manager.rid_to_state) if self._model else 0

    async def _tokenizing_thread(self, call: Callable[[Argument], Result], argument: Argument) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, call, argument)

    async def _unless_dead(self, answer: Awaitable[Any]) -> Any:
        """Returns an answer of SGLang's, which would be waited for when its scheduler has died too."""
        answered, died = asyncio.ensure_future(answer), asyncio.ensure_future(self.died.wait())
        try:
            await asyncio.wait({answered, died}, return_when=asyncio.FIRST_COMPLETED)
            self._running_model()
            return await answered
        finally:
            answered.cancel()
            died.cancel()

    def _running_model(self) -> "LoadedModel":
        if self._model is None or self.died.is_set():
            raise EngineUnavailable("the engine has died or is closed")
        return self._model

    def _die(self) -> None:
        if not self.died.is_set() and self._model is not None:
            self.died.set()
            self._model.sglang.unwatch()
            self._model.sglang.fail_all("the engine has died")
