"""vLLM's pooling models in this process: vectors, rerankers and classifiers of text.

`engine` is the contract, `arguments` holds a configuration against vLLM's own, `model` loads, `inputs` makes tokens of
inputs and pairs. vLLM's core, a process of its own, puts inputs of all callers into its batches.
"""

from gpt_server.services.embed.engines.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine"]
