"""Engines by name. A module is imported only when its engine is chosen: libraries are heavy, or not installed."""

from collections.abc import Mapping

ENGINES: Mapping[str, str] = {
    "fake": "gpt_server.services.llm.engines.fake:FakeEngine",
    "hf": "gpt_server.services.llm.engines.hf:HFEngine",
    "vllm": "gpt_server.services.llm.engines.vllm:VLLMEngine",
    "sglang": "gpt_server.services.llm.engines.sglang:SGLangEngine",
    "lmdeploy": "gpt_server.services.llm.engines.lmdeploy:LMDeployEngine",
}
