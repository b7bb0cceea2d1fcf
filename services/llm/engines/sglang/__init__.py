"""SGLang in this process: its tokenizer manager and its parsers; ours is the translation at both ends.

The way of a request: `engine` (the contract) -> `prompts` (rendered and tokenised, its form as a grammar) with
`sampling` -> SGLang's tokenizer manager, which lives here by our rules (`embedded`), and its scheduler, a process of
its own that samples as `scheduler` and `shaping` tell it -> `stream` (tokens as deltas) with `parsers` (SGLang's).
`arguments` holds a configuration against SGLang's own; `model` loads.
"""

from gpt_server.services.llm.engines.sglang.engine import SGLangEngine

__all__ = ["SGLangEngine"]
