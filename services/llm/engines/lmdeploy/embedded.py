"""LMDeploy's engine, on an event loop in a thread of its own: it computes where it awaits."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from lmdeploy.messages import EngineOutput, GenerationConfig, ResponseType
from lmdeploy.serve.core import AsyncEngine

from gpt_server.services.common.errors import EngineUnavailable

Result = TypeVar("Result")


class Embedded:
    """The engine and its thread. Made on the service's event loop.

    Args:
        died: called on the service's loop when the engine has ended by itself.
    """

    engine: AsyncEngine

    def __init__(self, died: Callable[[], None]) -> None:
        self._ours = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._died = died
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._news: deque[Callable[[], None]] = deque()
        self._told = False
        Thread(target=self._run, name="lmdeploy", daemon=True).start()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    async def start(self, load: Callable[[], AsyncEngine]) -> None:
        """Loads the engine and starts it."""
        await asyncio.wrap_future(self.submit(self._start(load)))

    async def _start(self, load: Callable[[], AsyncEngine]) -> None:
        self.engine = load()
        self.engine.start_loop(asyncio.get_running_loop(), use_async_api=True)
        if self.engine.backend == "pytorch":  # turbomind has threads of its own, and takes the process with it
            self._task = self.engine.engine.req_manager.create_loop_task()
            self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not self._closing:
            self._ours.call_soon_threadsafe(self._died)

    def submit(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Runs a coroutine in the engine's thread. To cancel what is returned cancels it there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def tell(self, news: Callable[[], None]) -> None:
        """Calls something on the service's loop, with all that is said in the meantime. For the engine's thread."""
        self._news.append(news)
        if not self._told:
            self._told = True
            self._ours.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        self._told = False
        while self._news:
            self._news.popleft()()

    async def infer(
        self,
        inputs: dict[str, Any],
        options: GenerationConfig,
        adapter: str | None,
        take: Callable[[EngineOutput], bool],
    ) -> None:
        """Hands over what the engine says of one sequence, which ends when `take` is true. For the engine's thread.

        Not through the engine's own `generate`: that turns tokens into text, and does not tell which one was the last.

        Raises:
            EngineUnavailable: the engine has given the sequence up.
        """
        session, gone = self.engine.session_mgr.get(), ResponseType.CANCEL
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine runs in one)
        try:
            async with (
                session.request_handle() as handle,
                self.engine.safe_run(
                    handle, session=session, **inputs, gen_config=options, adapter_name=adapter, stream_output=True
                ) as outputs,
            ):
                async for output in outputs:
                    gone = output.status
                    # LMDeploy waits with `asyncio.wait_for`, which before Python 3.12 may lose that it was cancelled.
                    left = task.cancelling() > 0
                    if left or (gone in (ResponseType.SUCCESS, ResponseType.FINISH) and take(output)):
                        await session.async_abort()
                        gone = ResponseType.FINISH
                        break
        finally:
            self.engine.session_mgr.remove(session)
        if task.cancelling():
            raise asyncio.CancelledError  # which LMDeploy has kept to itself
        if gone is not ResponseType.FINISH:
            raise EngineUnavailable(f"LMDeploy gave the request up: {gone.name}")

    def running(self) -> int:
        """Returns how many sequences the engine has."""
        return int(self.engine.session_mgr.request_handle_pool.num_dispatched)

    async def close(self) -> None:
        """Ends the engine and its thread."""
        self._closing = True
        await asyncio.wrap_future(self.submit(self._close()))
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _close(self) -> None:
        if hasattr(self, "engine"):
            self.engine.close()
        mine = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not mine]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
