"""LMDeploy in this process: its turbomind or pytorch backend and its parsers; ours is the translation at both ends.

The way of a request: `engine` (the contract) -> `prompts` (rendered and tokenised, its form as a grammar) with
`sampling` and `shaping` -> LMDeploy's engine, on an event loop in a thread of its own (`embedded`) -> `stream`
(tokens as deltas) with `parsers` (LMDeploy's and ours). `arguments` holds a configuration against LMDeploy's own;
`model` and `adapters` load.
"""

from gpt_server.services.llm.engines.lmdeploy.engine import LMDeployEngine

__all__ = ["LMDeployEngine"]
