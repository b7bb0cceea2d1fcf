"""How the GPUs of a replica are shared out between the parallel sizes of a library."""

from collections.abc import Mapping, Sequence
from math import prod

from gpt_server.services.common.engines import EngineConfig, Problem


def shared_out(config: EngineConfig, sizes: Sequence[str]) -> dict[str, int]:
    """Returns the sizes that `engine_args` say; the first of `sizes`, unsaid, is what makes use of all GPUs."""
    said = {name: config.engine_args[name] for name in sizes if name in config.engine_args}
    if sizes[0] not in said and config.gpus:
        said[sizes[0]] = max(1, config.gpus // prod(said.values()))
    return said


def check_sizes(config: EngineConfig, sizes: Mapping[str, int]) -> Sequence[Problem]:
    """Returns whether the product of the sizes is another number than that of the GPUs."""
    if (wanted := prod(sizes.values())) != config.gpus:
        said = " × ".join(f"{name} {size}" for name, size in sizes.items())
        return [Problem("gpus", f"is {config.gpus}, but {said} makes {wanted}")]
    return []
