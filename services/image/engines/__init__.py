"""Engines by name. A module is imported only when its engine is chosen: libraries are heavy, or not installed."""

from collections.abc import Mapping

ENGINES: Mapping[str, str] = {
    "fake": "gpt_server.services.image.engines.fake:FakeEngine",
    "diffusers": "gpt_server.services.image.engines.diffusers:DiffusersEngine",
}
