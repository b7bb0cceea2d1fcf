"""OpenAI request bodies: what is accepted, and what becomes of every field."""
