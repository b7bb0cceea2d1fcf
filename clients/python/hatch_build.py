"""The wheel's build hook: the generated code of `protos/`, by what makes that of the server."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent


class StubsHook(BuildHookInterface[Any]):
    """Called by hatchling before it collects the files of the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes `gen/`."""
        runpy.run_path(str(HERE.parents[1] / "tools" / "build_stubs.py"))["build"](out=HERE / "gen")
