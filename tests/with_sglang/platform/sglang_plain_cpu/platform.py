"""The platform. Imported by each of SGLang's processes."""

from collections.abc import Callable
from typing import Any

import torch
from sglang.srt.platforms.cpu import CpuDeviceMixin
from sglang.srt.platforms.device_mixin import PlatformEnum
from sglang.srt.platforms.interface import PlatformCapabilities, SRTPlatform
from torch.utils._device import _device_constructors


class PlainCPU(CpuDeviceMixin, SRTPlatform):  # type: ignore[misc]
    """The CPU, without kernels of SGLang's."""

    _enum = PlatformEnum.OOT
    device_name = "cpu"
    device_type = "cpu"
    capabilities = PlatformCapabilities()

    def get_default_attention_backend(self) -> str:
        """Attention of torch's own."""
        return "torch_native"

    def is_pin_memory_available(self, device: Any = None) -> bool:
        """Memory is pinned for accelerators."""
        return False

    def get_dispatch_key_name(self) -> str:
        """Every layer's `forward_native`."""
        return "native"


def _drop_pin_memory() -> None:
    """SGLang's adapters pin memory without asking the platform; without an accelerator torch cannot."""

    def unpinned(make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, pin_memory=False, **options: make(*args, **options)

    _device_constructors()  # torch lists once which functions obey `with torch.device(...)`: these, not ours
    for name in ("tensor", "empty", "zeros", "ones", "arange", "full"):
        setattr(torch, name, unpinned(getattr(torch, name)))
    torch.Tensor.pin_memory = lambda self, *_, **__: self  # type: ignore[method-assign]


_drop_pin_memory()
