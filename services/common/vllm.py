"""What engines over vLLM have in common, whatever they compute: its environment, its arguments, its life.

Imports nothing of vLLM's: what is looked at is handed in. Imported before anything of vLLM's, which reads the
environment when it is imported.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from gpt_server.services.common.arguments import LibraryArguments
from gpt_server.services.common.devices import check_sizes, shared_out
from gpt_server.services.common.engines import EngineConfig, Problem

#: What vLLM is told, where the operator has not set it.
ENVIRONMENT = {
    # This process has threads of gRPC's, which a fork would not survive.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    # Its log lines are ours: one shape, on standard error.
    "VLLM_CONFIGURE_LOGGING": "0",
    # A service tells nobody outside what it runs.
    "VLLM_NO_USAGE_STATS": "1",
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

#: Arguments that every configuration has a key for.
ELSEWHERE: Mapping[str, str] = {
    "model": "set `model` of the entry",
    "served_model_name": "set `names` of the entry",
    "max_num_queued_reqs": "set `limits.max_queued` of the entry",
}
#: What differs from vLLM's own defaults where a configuration says nothing: calls bring priorities; a service has no
#: progress bar.
DEFAULTS: Mapping[str, Any] = {
    "scheduling_policy": "priority",
    "use_tqdm_on_load": False,
}
#: Sizes whose product is the number of GPUs of one replica, tensor parallel first.
PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "prefill_context_parallel_size")

#: How often an idle engine is asked whether it still lives; calls that run notice at once.
PULSE_S = 0.25
#: How long vLLM's processes have to end before they are killed.
SHUTDOWN_S = 5.0


def vllm_arguments(
    arguments: LibraryArguments, config: EngineConfig, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns what is vLLM's, of a configuration that was found right, over `defaults` and `DEFAULTS`."""
    sizes = parallel_sizes(config)
    return arguments.of_library({**config.engine_args, **sizes}, {**DEFAULTS, **(defaults or {})})


def parallel_sizes(config: EngineConfig) -> dict[str, int]:
    """Returns the sizes that `engine_args` say; unsaid, the tensor parallel size is what makes use of all GPUs."""
    return shared_out(config, PARALLEL)


def check_devices(config: EngineConfig, is_for_cpu: bool) -> Sequence[Problem]:
    """Returns what does not fit the devices that this vLLM is built for."""
    if is_for_cpu:
        if config.gpus:
            return [Problem("gpus", "this vLLM is built for the CPU: gpt-server engines install vllm --device cuda")]
        return []
    if not config.gpus:
        return [Problem("gpus", "this vLLM is built for GPUs: set it to 1 or more")]
    return check_sizes(config, parallel_sizes(config))


async def watch(llm: Any, died: asyncio.Event) -> None:
    """Sets `died` when the core of an `AsyncLLM` has died, also while nobody waits for it."""
    while not llm.errored:  # noqa: ASYNC110 (vLLM has no event for it)
        await asyncio.sleep(PULSE_S)
    died.set()


async def shut_down(llm: Any) -> None:
    """Ends an `AsyncLLM` and its processes."""
    if llm.output_handler is not None:
        llm.output_handler.cancel()  # else it logs the end of what it reads from
    await asyncio.to_thread(llm.shutdown, SHUTDOWN_S)
