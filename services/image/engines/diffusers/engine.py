"""The engine: turns at the device, one pass of a pipeline each, in a thread of their own.

Importing the library takes many seconds, so that is left until the model is loaded: `check` needs none of it.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING

from gpt_server.services.common.admission import Admission
from gpt_server.services.common.errors import EngineUnavailable
from gpt_server.services.image.engine import (
    EngineConfig,
    Event,
    Finished,
    ImageEngine,
    Made,
    ModelDetails,
    Prepared,
    Problem,
    Progress,
    Queued,
    Task,
    Timings,
)
from gpt_server.services.image.engines.diffusers import arguments
from gpt_server.services.image.engines.diffusers.arguments import Arguments

if TYPE_CHECKING:
    from gpt_server.services.image.engines.diffusers.passes import Passes

NO_LIMIT = 1_000_000
"""Admission before the engine bounds the queue; whoever got in waits here as long as it takes."""


class DiffusersEngine(ImageEngine):
    """See `ImageEngine`. `engine_args`: see `Arguments`."""

    name = "diffusers"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.device = Admission(max_running=1, max_queued=NO_LIMIT)
        """Who computes and who waits."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._passes: Passes
        self._batch = 1

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration."""
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        """Loads the model in the thread that will run it."""
        self._batch = Arguments.model_validate(dict(self.config.engine_args)).max_batch_images
        self._passes = await asyncio.get_running_loop().run_in_executor(self._thread, _load, self.config)
        return self._passes.details

    async def close(self) -> None:
        """Ends the thread after the step that it is in."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def prepare(self, task: Task) -> Prepared:
        """Counts the prompt's tokens."""
        return Prepared(task, await asyncio.to_thread(self._passes.prompt_tokens, task.prompt))

    async def make(self, prepared: Prepared) -> AsyncGenerator[Event, None]:
        """Takes a turn for each batch; between them others have theirs."""
        task = prepared.task
        waited_s = computed_s = 0.0
        batches = range(0, len(task.seeds), self._batch)
        for number, first in enumerate(batches):
            arrived_s = time.monotonic()
            with self.device.enter(priority=task.priority) as ticket:
                async for position in self.device.positions(ticket):
                    yield Queued(position)
                began_s = time.monotonic()
                async with aclosing(self._pass(task, range(first, len(task.seeds))[: self._batch])) as events:
                    async for event in events:
                        if isinstance(event, Progress):
                            event = Progress(number * event.steps + event.step, len(batches) * event.steps)
                        yield event
                waited_s += began_s - arrived_s
                computed_s += time.monotonic() - began_s
        yield Finished(self._passes.grid_places(task), Timings(waited_s, computed_s))

    async def _pass(self, task: Task, images: Sequence[int]) -> AsyncGenerator[Progress | Made, None]:
        """Runs a pass; what it tells arrives by a queue, whose end is `None`."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Progress | Made | None] = asyncio.Queue()
        stop = threading.Event()

        def tell(event: Progress | Made | None) -> None:
            loop.call_soon_threadsafe(told.put_nowait, event)

        running = loop.run_in_executor(self._thread, self._passes.run, task, images, tell, stop)
        running.add_done_callback(lambda _: told.put_nowait(None))
        try:
            while (event := await told.get()) is not None:
                yield event
            self._raise_if_failed(running)
        finally:
            stop.set()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # was raised above, or nobody waits for it

    def _raise_if_failed(self, running: "asyncio.Future[None]") -> None:
        try:
            running.result()
        except RuntimeError as error:
            if "CUDA error" not in str(error):
                raise
            self.died.set()
            raise EngineUnavailable("the GPU has failed") from error


def _load(config: EngineConfig) -> "Passes":
    from gpt_server.services.image.engines.diffusers.passes import Passes

    return Passes(config)
