"""What LMDeploy asks of `torch.cuda`, answered for a CPU, on which everything is done when a call returns."""

import contextlib
from types import SimpleNamespace
from typing import Any

import torch


class Event:
    """Has always happened."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def record(self, *_: Any) -> None: ...

    def synchronize(self) -> None: ...

    def wait(self, *_: Any) -> None: ...

    def query(self) -> bool:
        return True

    def elapsed_time(self, _: Any) -> float:
        return 0.0


class Stream:
    """Is always empty."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def synchronize(self) -> None: ...

    def wait_stream(self, _: Any) -> None: ...

    def wait_event(self, _: Any) -> None: ...

    def record_event(self, event: Any = None) -> Any:
        return event or Event()

    def query(self) -> bool:
        return True


def install() -> None:
    """Puts it into torch, under the name that the patched sources use."""
    stream, memory = Stream(), 8 << 30
    properties = SimpleNamespace(uuid="cpu", major=8, minor=0, multi_processor_count=1, name="cpu", total_memory=memory)
    found: Any = torch
    found._plain_cpu = SimpleNamespace(
        Event=Event,
        Stream=Stream,
        current_stream=lambda *_: stream,
        default_stream=lambda *_: stream,
        stream=lambda _: contextlib.nullcontext(),
        device=lambda _: contextlib.nullcontext(),
        synchronize=lambda *_: None,
        empty_cache=lambda: None,
        current_device=lambda: "cpu",
        set_device=lambda _: None,
        mem_get_info=lambda *_: (memory // 2, memory),
        is_available=lambda: True,
        device_count=lambda: 1,
        is_bf16_supported=lambda *_, **__: True,
        get_device_capability=lambda *_: (8, 0),
        get_device_properties=lambda *_: properties,
        get_device_name=lambda *_: "cpu",
        is_current_stream_capturing=lambda: False,
        memory=SimpleNamespace(),
        nvtx=SimpleNamespace(),
    )
    found._C._cuda_clearCublasWorkspaces = lambda: None
    found.Tensor.pin_memory = lambda tensor, *_, **__: tensor
    found.Tensor.record_stream = lambda tensor, _: None
