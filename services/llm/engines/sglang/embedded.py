"""SGLang's engine as a guest of a process: it takes no signal, ends no process but its own, and keeps to our loop."""

import asyncio
import atexit
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sglang.srt.entrypoints.engine import Engine, init_tokenizer_manager
from sglang.srt.managers.io_struct import AbortReq
from sglang.srt.managers.tokenizer_manager import TokenizerManager
from sglang.srt.utils import kill_process_tree

from gpt_server.services.llm.engines.sglang import scheduler

#: How long SGLang's processes have to be gone after they were killed.
SHUTDOWN_S = 10.0


class _TokenizerManager(TokenizerManager):  # type: ignore[misc]
    """SGLang's, which reads answers on the running loop, and leaves signals alone."""

    event_loop: Any

    def auto_create_handle_loop(self) -> None:
        """Starts reading; SGLang's own also takes SIGTERM and SIGQUIT, and kills this process when it fails."""
        if self.event_loop is None:
            self.event_loop = asyncio.get_running_loop()
            self.asyncio_tasks.add(self.event_loop.create_task(self.handle_loop()))


class Embedded(Engine):  # type: ignore[misc]
    """SGLang's engine. Made in a thread, since SGLang sets handlers of signals in the main one; used on a loop."""

    init_tokenizer_manager_func = staticmethod(partial(init_tokenizer_manager, TokenizerManagerClass=_TokenizerManager))
    run_scheduler_process_func = staticmethod(scheduler.run)

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # What ends other processes of this one, at its exit or when a child dies, is not SGLang's to do.
        atexit.unregister(self.shutdown)
        watchdog = self.tokenizer_manager._subprocess_watchdog
        watchdog.stop()
        self._processes: Sequence[Any] = watchdog._processes

    def watch(self, died: Callable[[], None]) -> None:
        """Calls `died` when a process of SGLang's ends, or its answers can be read no more. Needs a running loop."""
        loop = asyncio.get_running_loop()
        self.tokenizer_manager.auto_create_handle_loop()
        for task in self.tokenizer_manager.asyncio_tasks:
            task.add_done_callback(lambda _: died())
        for process in self._processes:
            loop.add_reader(process.sentinel, died)

    def unwatch(self) -> None:
        """Ends `watch`."""
        loop = asyncio.get_running_loop()
        for process in self._processes:
            loop.remove_reader(process.sentinel)
        for task in self.tokenizer_manager.asyncio_tasks:
            task.cancel()

    def fail_all(self, message: str) -> None:
        """Ends every request as aborted; nobody else will."""
        for request_id in list(self.tokenizer_manager.rid_to_state):
            self.tokenizer_manager._handle_abort_req(AbortReq(rid=request_id, abort_message=message))

    def close(self) -> None:
        """Ends SGLang's processes, and no others."""
        if self.send_to_rpc is not None:
            self.send_to_rpc.close(linger=0)
        for pid in self.get_all_child_pids():
            kill_process_tree(pid, wait_timeout=None)
        for process in self._processes:
            process.join(SHUTDOWN_S)
        if (pictures := getattr(self.tokenizer_manager, "mm_processor", None)) is not None:
            pictures.shutdown()
