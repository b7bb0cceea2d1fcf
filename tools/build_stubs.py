"""The wheel's build hook: Python stubs of `protos/`, made once and shipped.

It runs at `pip install`, editable or not, and by `make protos`. Nothing that it writes is
committed, and nothing is generated where the wheel is installed.
"""

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent


class StubsHook(BuildHookInterface[Any]):
    """Called by hatchling before it collects the files of the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes `protos/gen`. Raises `RuntimeError` if protoc finds a fault."""
        build()


def build(protos: Path = ROOT / "protos", out: Path = ROOT / "protos" / "gen") -> None:
    """Generates messages, services and their types of all `.proto` files below `protos`."""
    from grpc_tools import protoc

    fresh = out.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    sources = sorted(str(file) for file in (protos / "gpt_server").rglob("*.proto"))
    bundled = files("grpc_tools") / "_proto"
    scripts = Path(sys.executable).parent
    plugins = [f"--plugin=protoc-gen-{name}={_plugin(scripts, name)}" for name in ("mypy", "mypy_grpc")]
    outputs = [f"--{name}_out={fresh}" for name in ("python", "grpc_python")]
    outputs += [f"--{name}_out=quiet:{fresh}" for name in ("mypy", "mypy_grpc")]
    if protoc.main(["protoc", f"-I{protos}", f"-I{bundled}", *plugins, *outputs, *sources]):
        raise RuntimeError("protoc failed")
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)


def _plugin(scripts: Path, name: str) -> str:
    """Path of a protoc plugin; under build isolation it lies beside the packages, on PATH."""
    beside = scripts / f"protoc-gen-{name}"
    found = str(beside) if beside.exists() else shutil.which(f"protoc-gen-{name}")
    if not found:
        raise RuntimeError(f"protoc-gen-{name} is not installed")
    return found


if __name__ == "__main__":
    build()
