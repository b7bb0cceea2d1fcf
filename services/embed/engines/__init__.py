"""Engines by name. A module is imported only when its engine is chosen: libraries are heavy, or not installed."""

from collections.abc import Mapping

ENGINES: Mapping[str, str] = {
    "fake": "gpt_server.services.embed.engines.fake:FakeEngine",
    "infinity": "gpt_server.services.embed.engines.infinity:InfinityEngine",
    "sentence_transformers": "gpt_server.services.embed.engines.sentence_transformers:SentenceTransformersEngine",
    "vllm": "gpt_server.services.embed.engines.vllm:VLLMEngine",
}
