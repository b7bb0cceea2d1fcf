"""Tests of `services/llm` that need no engine."""
