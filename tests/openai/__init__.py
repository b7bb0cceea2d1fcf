"""The official OpenAI SDK against the edge. Any implementation of the API must pass."""
