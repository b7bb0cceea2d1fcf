"""Requests to the fake models of an embed service, in few words."""

from typing import Any

import numpy as np

from gpt_server.embed.v1 import embed_service_pb2 as pb
from gpt_server.embed.v1 import input_pb2


def text(words: str) -> input_pb2.Input:
    """A text."""
    return input_pb2.Input(text=words)


def embed(*texts: str, model: str = "fake-embedding", **fields: Any) -> pb.EmbedRequest:
    """A request for vectors."""
    return pb.EmbedRequest(model=model, inputs=map(text, texts), **fields)


def classify(*texts: str, model: str = "fake-classification", **fields: Any) -> pb.ClassifyRequest:
    """A request for labels."""
    return pb.ClassifyRequest(model=model, inputs=map(text, texts), **fields)


def rerank(query: str, *documents: str, model: str = "fake-rerank", **fields: Any) -> pb.RerankRequest:
    """A request for the best documents."""
    return pb.RerankRequest(model=model, query=text(query), documents=map(text, documents), **fields)


def score(*pairs: tuple[str, str], model: str = "fake-rerank", **fields: Any) -> pb.ScoreRequest:
    """A request for scores."""
    sides = [input_pb2.Pair(first=text(first), second=text(second)) for first, second in pairs]
    return pb.ScoreRequest(model=model, pairs=sides, **fields)


async def vectors(call: Any) -> tuple[Any, list[pb.EmbedResponse]]:
    """Reads a call of `Embed` to its end; returns the vectors, n × d float32, and the messages."""
    messages = [message async for message in call]
    packed = b"".join(message.vectors for message in messages)
    return np.frombuffer(packed, "<f4").reshape(-1, messages[-1].finished.dimensions), messages
