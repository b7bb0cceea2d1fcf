"""Text generation: `gpt_server.llm.v1.LLMService` over any `LLMEngine`."""
