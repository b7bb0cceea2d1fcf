"""Tests of `services.common`, of the LLM servicer and of its process."""
