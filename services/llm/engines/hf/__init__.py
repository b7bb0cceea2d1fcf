"""Hugging Face transformers, with a scheduler of ours: many requests share every forward step of one model.

The way of a request: `engine` (the contract) -> `render` (its prompt) and `plan` (its fields) -> `scheduler` (a thread:
prefill in chunks, batched decode steps) with `cache`, `sampling` and `grammar` -> `row` (one choice: tokens to text,
and when to stop) -> `collector` (on the event loop again, where output accumulates until it is asked for).
"""

from gpt_server.services.llm.engines.hf.engine import HFEngine

__all__ = ["HFEngine"]
