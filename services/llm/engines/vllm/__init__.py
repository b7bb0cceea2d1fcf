"""vLLM in this process: its engine, its chat renderer and its parsers; ours is the translation at both ends.

The way of a request: `engine` (the contract) -> `prompts` (vLLM's own chat request, rendered by its renderer) with
`conversation` and `sampling` -> `AsyncLLM`, whose core is a process of its own -> `stream` and `choice` (its outputs
as deltas, through its parsers). `arguments` holds a configuration against vLLM's own; `model` loads.
"""

from gpt_server.services.llm.engines.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine"]
