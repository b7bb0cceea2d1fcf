"""LMDeploy's PyTorch engine on a CPU, for tests: its sources are read with another device in them.

LMDeploy has no plug-ins for devices, so this is a patch, and belongs to tests alone. Imported when Python starts; it
does nothing until `lmdeploy` is imported.
"""

import importlib.abc
import importlib.machinery
import signal
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any

#: Kernels, and what is never used on one device.
_AS_THEY_ARE = tuple(f"lmdeploy.pytorch.{part}" for part in ("backends.cuda", "kernels", "third_party", "disagg"))


class Device:
    """The device, which SIGUSR1 breaks: every step fails from then on, as on a GPU that is gone."""

    broken = False

    @classmethod
    def use(cls) -> None:
        """Raises `RuntimeError` when it is broken."""
        if cls.broken:
            raise RuntimeError("the device is broken")

    @classmethod
    def break_it(cls, *_: Any) -> None:
        """Breaks it."""
        cls.broken = True


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module of LMDeploy for the CPU."""

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        source = source.replace("torch.cuda.", "torch._plain_cpu.").replace("'cuda'", "'cpu'")
        if fullname == "lmdeploy.messages":  # the suites compare with float32
            source = source.replace("['auto', 'float16', 'bfloat16']", "['auto', 'float16', 'bfloat16', 'float32']")
        if fullname == "lmdeploy.vl.engine":
            source = source.replace("'float16': torch.float16,", "'float16': torch.float16, 'float32': torch.float32,")
        if fullname == "lmdeploy.pytorch.backends.selector":
            ours = "from lmdeploy_plain_cpu.backend import PlainOpsBackend as CudaOpsBackend"
            source = source.replace("from .cuda import CudaOpsBackend", ours)
        if fullname == "lmdeploy.pytorch.engine.engine_checker":  # looks for GPUs, in a process of its own
            source += "\nEngineChecker.handle = lambda self: None\n"
        return compile(source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds LMDeploy's modules for `_Loader`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "lmdeploy":
            from . import device

            device.install()
        ours = name in ("lmdeploy.messages", "lmdeploy.vl.engine") or name.startswith("lmdeploy.pytorch")
        if not ours or name.startswith(_AS_THEY_ARE):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _Finder())
signal.signal(signal.SIGUSR1, Device.break_it)
