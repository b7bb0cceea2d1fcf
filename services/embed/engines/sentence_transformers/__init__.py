"""Encoder models by sentence-transformers: vectors, rerankers, classifiers, of text and of pictures."""

from gpt_server.services.embed.engines.sentence_transformers.engine import SentenceTransformersEngine

__all__ = ["SentenceTransformersEngine"]
