"""Speech by the models that vLLM-Omni serves, through its own server as a child of this process."""

from gpt_server.services.audio.engines.vllm_omni.engine import VLLMOmniEngine

__all__ = ["VLLMOmniEngine"]
