"""Requests of `gpt_server.embed.v1` -> dataclasses. Names are the same on both sides; `checks` looks at the values."""

from collections.abc import Iterable, Mapping

from gpt_server.embed.v1 import embed_service_pb2 as pb
from gpt_server.embed.v1 import input_pb2
from gpt_server.services.common.protobuf import one_of, optional, optional_enum, part
from gpt_server.services.embed.engine import (
    ClassifyRequest,
    EmbedRequest,
    Input,
    InputOptions,
    Pair,
    RerankRequest,
    ScoreRequest,
    TokenizeRequest,
    VectorFormat,
)

VECTOR_FORMATS: Mapping[int, VectorFormat] = {
    pb.VECTOR_FORMAT_FLOAT32: "float32",
    pb.VECTOR_FORMAT_INT8: "int8",
    pb.VECTOR_FORMAT_BINARY: "binary",
}


def embed_request(request: pb.EmbedRequest) -> EmbedRequest:
    """Returns the engine's form of a request. Raises `InvalidField`: an enum or a `oneof` is not as it must be."""
    return EmbedRequest(
        model=request.model,
        inputs=_inputs(request.inputs, "inputs"),
        options=_options(request.options),
        dimensions=optional(request, "dimensions"),
        normalize=optional(request, "normalize"),
        format=optional_enum(request, "format", VECTOR_FORMATS, "format"),
    )


def rerank_request(request: pb.RerankRequest) -> RerankRequest:
    """Returns the engine's form of a request. Raises as `embed_request`."""
    return RerankRequest(
        model=request.model,
        query=_input(request.query, "query"),
        documents=_inputs(request.documents, "documents"),
        options=_options(request.options),
        top_n=optional(request, "top_n"),
        raw_scores=optional(request, "raw_scores"),
    )


def score_request(request: pb.ScoreRequest) -> ScoreRequest:
    """Returns the engine's form of a request. Raises as `embed_request`."""
    pairs = tuple(
        Pair(_input(pair.first, f"pairs[{i}].first"), _input(pair.second, f"pairs[{i}].second"))
        for i, pair in enumerate(request.pairs)
    )
    return ScoreRequest(request.model, pairs, _options(request.options), optional(request, "raw_scores"))


def classify_request(request: pb.ClassifyRequest) -> ClassifyRequest:
    """Returns the engine's form of a request. Raises as `embed_request`."""
    inputs = _inputs(request.inputs, "inputs")
    return ClassifyRequest(request.model, inputs, _options(request.options), optional(request, "raw_scores"))


def tokenize_request(request: pb.TokenizeRequest) -> TokenizeRequest:
    """Returns the engine's form of a request."""
    return TokenizeRequest(
        model=request.model,
        text=request.text,
        add_special_tokens=optional(request, "add_special_tokens"),
        return_token_strings=optional(request, "return_token_strings"),
    )


def _options(options: input_pb2.InputOptions) -> InputOptions:
    return InputOptions(
        truncate_prompt_tokens=optional(options, "truncate_prompt_tokens"),
        prompt_name=optional(options, "prompt_name"),
        prompt=optional(options, "prompt"),
        priority=optional(options, "priority"),
    )


def _inputs(inputs: Iterable[input_pb2.Input], path: str) -> tuple[Input, ...]:
    return tuple(_input(one, f"{path}[{i}]") for i, one in enumerate(inputs))


def _input(message: input_pb2.Input, path: str) -> Input:
    name = one_of(message, "content", path)
    if name == "text":
        return Input(text=message.text)
    if name == "token_ids":
        return Input(token_ids=tuple(message.token_ids.ids))
    parts = enumerate(message.parts.parts)
    return Input(parts=tuple(part(one, f"{path}.parts.parts[{i}]") for i, one in parts))
