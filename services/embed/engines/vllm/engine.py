"""`EmbedEngine` over vLLM."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from gpt_server.services.common import vllm
from gpt_server.services.common.errors import EngineUnavailable
from gpt_server.services.embed.compare import cosines
from gpt_server.services.embed.engine import (
    Computed,
    EmbedEngine,
    EngineConfig,
    ModelDetails,
    Prepared,
    Problem,
    Rows,
    Task,
    Timings,
    TokenizeRequest,
    Tokens,
)
from gpt_server.services.embed.engines.vllm import arguments

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

    from gpt_server.services.embed.engines.vllm.inputs import Inputs, PoolingInput

#: Of one request, how many times the inputs of a batch are in vLLM at once: enough that its core never waits, and few
#: enough that a small request does not wait for all of a huge one.
BATCHES_AHEAD = 2


@dataclass(slots=True)
class PreparedInputs(Prepared):
    """A task as vLLM takes it. `pairs`: the two inputs of each, if the model compares vectors."""

    inputs: "Sequence[PoolingInput]"
    priority: int
    pairs: Sequence[tuple[int, int]] | None


class VLLMEngine(EmbedEngine):
    """Runs a model with vLLM's `AsyncLLM`, whose core is a process of its own."""

    name: ClassVar[str] = "vllm"

    _llm: "AsyncLLM"
    _inputs: "Inputs"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._pulse: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration."""
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        """Starts vLLM in a thread."""
        llm = self._llm = await asyncio.to_thread(_start, self.config)
        self._pulse = asyncio.create_task(vllm.watch(llm, self.died))
        from gpt_server.services.embed.engines.vllm import inputs, model  # imported by now

        loaded = await model.described(llm, self.config)
        self._inputs = inputs.Inputs(loaded)
        return loaded.details

    async def close(self) -> None:
        """Ends vLLM's processes."""
        self._closed = True
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        if self._pulse is not None:
            self._pulse.cancel()
            await vllm.shut_down(self._llm)

    async def prepare(self, task: Task) -> PreparedInputs:
        """Tokenises, and refuses what is too long."""
        loop = asyncio.get_running_loop()
        inputs, pairs = await loop.run_in_executor(self._tokenizing, self._inputs.of, task)
        return PreparedInputs(sum(one.tokens for one in inputs), inputs, task.options.priority or 0, pairs)

    async def compute(self, prepared: Prepared) -> Computed:
        """Lets vLLM put the inputs into its batches. How long they waited there it does not say."""
        wanted = cast("PreparedInputs", prepared)
        began_s = time.monotonic()
        room = asyncio.Semaphore(BATCHES_AHEAD * self._llm.vllm_config.scheduler_config.max_num_seqs)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._row(one, wanted.priority, room)) for one in wanted.inputs]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        rows = np.stack([task.result() for task in tasks])
        timings = Timings(compute_s=time.monotonic() - began_s)
        return Computed(rows if wanted.pairs is None else cosines(rows, wanted.pairs), timings)

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        """Asks the model's tokeniser."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._inputs.tokens, request)

    async def _row(self, one: "PoolingInput", priority: int, room: asyncio.Semaphore) -> Rows:
        """Returns the numbers of one input. Cancelled, it takes it out of vLLM."""
        llm = self._llm
        async with room:
            if self._closed or self.died.is_set():
                raise EngineUnavailable("the engine has died or is closed")
            try:
                async for result in llm.encode(one.engine_input, one.params, uuid.uuid4().hex, priority=priority):
                    if result.error is None:
                        return result.outputs.data.float().numpy().reshape(-1)  # type: ignore[no-any-return]
                    raise RuntimeError(f"vLLM has failed: {result.error}")
            except Exception as error:
                if not llm.errored:
                    raise
                self.died.set()
                raise EngineUnavailable("the engine has died") from error
        raise EngineUnavailable("vLLM has dropped an input")


def _start(config: EngineConfig) -> "AsyncLLM":
    # vLLM takes many seconds to import.
    from gpt_server.services.embed.engines.vllm import inputs, model  # noqa: F401 (needed next)

    return model.start_vllm(config)
