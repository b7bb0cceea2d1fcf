"""Engines by name. A module is imported only when its engine is chosen: libraries are heavy, or not installed."""

from collections.abc import Mapping

ENGINES: Mapping[str, str] = {
    "pocketsphinx": "gpt_server.services.audio.engines.pocketsphinx:PocketsphinxEngine",
    "espeak": "gpt_server.services.audio.engines.espeak:EspeakEngine",
    "fake": "gpt_server.services.audio.engines.fake:FakeEngine",
}
