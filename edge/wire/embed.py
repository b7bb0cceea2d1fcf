"""Vectors, scores and labels as OpenAI, Cohere, Jina, vLLM and Text Embeddings Inference write them."""

import base64
import time
import uuid
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from gpt_server.common.v1 import usage_pb2
from gpt_server.edge.schemas.embed import Content, EmbeddingRequest, RerankRequest, TextOrImage
from gpt_server.embed.v1 import embed_service_pb2 as pb

#: What a number of an array is, by `output_dtype`; of `binary` and `ubinary`, the bits of eight numbers.
TYPE_CODES = {"float": "f", "int8": "b", "binary": "b", "ubinary": "B"}
OFFSET_BINARY = bytes((byte + 128) % 256 for byte in range(256))
"""Of each byte of bits, the signed byte that `binary` writes: 128 less."""


def embeddings(body: EmbeddingRequest, vectors: bytes, finished: pb.EmbedFinished) -> bytes:
    """Returns the answer of /v1/embeddings. `vectors`: little-endian, row after row."""
    if body.output_dtype == "binary":
        vectors = vectors.translate(OFFSET_BINARY)
    row_bytes = len(vectors) // len(body.input)
    rows = [vectors[begin : begin + row_bytes] for begin in range(0, len(vectors), row_bytes)]
    kind = TYPE_CODES[body.output_dtype]
    write = _base64 if body.encoding_format == "base64" else partial(_numbers, kind)
    data = [{"object": "embedding", "index": i, "embedding": write(row)} for i, row in enumerate(rows)]
    return orjson.dumps({"object": "list", "data": data, "model": body.model, "usage": _usage(finished.usage)})


def reranked(body: RerankRequest, model: str, answer: pb.RerankResponse) -> bytes:
    """Returns the answer of /rerank: a superset of Cohere's (1 and 2), Jina's and vLLM's."""
    results: list[dict[str, Any]] = []
    for found in answer.results:
        result: dict[str, Any] = {"index": found.index, "relevance_score": found.score}
        if body.return_documents:
            result["document"] = _document(body.contents[found.index])
        results.append(result)
    tokens = answer.usage.prompt_tokens
    return orjson.dumps(
        {
            "id": f"rerank-{uuid.uuid4().hex}",
            "object": "list",
            "model": model,
            "results": results,
            "usage": _usage(answer.usage),
            "meta": {
                "api_version": {"version": "2"},
                "billed_units": {"search_units": 1, "total_tokens": tokens},
                "tokens": {"input_tokens": tokens},
            },
        }
    )


def reranked_texts(body: RerankRequest, answer: pb.RerankResponse) -> bytes:
    """Returns the answer of /rerank to `texts`: the bare list of Text Embeddings Inference."""
    ranks: list[dict[str, Any]] = [{"index": found.index, "score": found.score} for found in answer.results]
    if body.return_text:
        for rank in ranks:
            rank["text"] = _document(body.contents[rank["index"]]).get("text", "")
    return orjson.dumps(ranks)


def scored(model: str, answer: pb.ScoreResponse) -> bytes:
    """Returns the answer of /score, in vLLM's shape."""
    data = [{"index": i, "object": "score", "score": score} for i, score in enumerate(answer.scores)]
    return _list("score", model, data, answer.usage)


def classified(model: str, answer: pb.ClassifyResponse) -> bytes:
    """Returns the answer of /classify: vLLM's shape, and each label's score by its name."""
    data = []
    for i, result in enumerate(answer.results):
        scores = list(result.scores)
        best = scores.index(max(scores))
        named = dict(zip(answer.labels, scores, strict=True))
        data.append(
            {"index": i, "label": answer.labels[best], "probs": scores, "num_classes": len(scores), "labels": named}
        )
    return _list("classify", model, data, answer.usage)


def _list(prefix: str, model: str, data: Sequence[Any], usage: usage_pb2.Usage) -> bytes:
    head = {"id": f"{prefix}-{uuid.uuid4().hex}", "object": "list", "created": int(time.time()), "model": model}
    return orjson.dumps(head | {"data": data, "usage": _usage(usage)})


def _usage(usage: usage_pb2.Usage) -> dict[str, int]:
    return {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}


def _document(content: Content) -> dict[str, str]:
    if isinstance(content, TextOrImage):
        return {name: value for name in ("text", "image") if (value := getattr(content, name)) is not None}
    return {"text": content}


def _base64(row: bytes) -> str:
    return base64.b64encode(row).decode("ascii")


def _numbers(kind: str, row: bytes) -> list[Any]:
    return array(kind, row).tolist()  # least byte first: so is every machine that this runs on
