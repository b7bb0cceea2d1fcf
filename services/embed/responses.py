"""Rows of numbers -> responses of `gpt_server.embed.v1`."""

from collections.abc import Iterator
from dataclasses import dataclass

from gpt_server.common.v1 import model_pb2, usage_pb2
from gpt_server.embed.v1 import embed_service_pb2 as pb
from gpt_server.services.common.errors import PayloadTooLarge
from gpt_server.services.embed import numbers
from gpt_server.services.embed.engine import (
    ClassifyRequest,
    EmbedRequest,
    ModelDetails,
    RerankRequest,
    Rows,
    ScoreRequest,
    Timings,
    Tokens,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task came to: its rows, the tokens of its inputs, and where the time went."""

    rows: Rows
    prompt_tokens: int
    timings: Timings


MAX_RESPONSE_BYTES = 1024 * 1024
BYTES_A_PART = MAX_RESPONSE_BYTES - 1024


def embedded(request: EmbedRequest, outcome: Outcome) -> Iterator[pb.EmbedResponse]:
    """Yields the vectors in as few messages as they fit in."""
    vectors = numbers.vectors(outcome.rows, request.dimensions, request.normalize is not False)
    packed, row_bytes = numbers.pack(vectors, request.format or "float32")
    part_bytes = max(1, BYTES_A_PART // row_bytes) * row_bytes
    finished = pb.EmbedFinished(dimensions=vectors.shape[1], usage=_usage(outcome), timings=_timings(outcome))
    for begin in range(0, len(packed), part_bytes):
        end = begin + part_bytes
        yield pb.EmbedResponse(
            vectors=packed[begin:end],
            row_bytes=row_bytes,
            finished=finished if end >= len(packed) else None,
        )


def ranked(request: RerankRequest, outcome: Outcome, details: ModelDetails) -> pb.RerankResponse:
    """Returns the documents, best first."""
    scores = numbers.activated(outcome.rows, details.activation, bool(request.raw_scores))[:, 0]
    return pb.RerankResponse(
        results=[
            pb.RankedDocument(index=place, score=scores[place]) for place in numbers.best_first(scores, request.top_n)
        ],
        usage=_usage(outcome),
        timings=_timings(outcome),
    )


def scored(request: ScoreRequest, outcome: Outcome, details: ModelDetails) -> pb.ScoreResponse:
    """Returns a score for each pair."""
    scores = numbers.activated(outcome.rows, details.activation, bool(request.raw_scores))[:, 0]
    return pb.ScoreResponse(scores=scores, usage=_usage(outcome), timings=_timings(outcome))


def classified(request: ClassifyRequest, outcome: Outcome, details: ModelDetails) -> pb.ClassifyResponse:
    """Returns a score for each label of each input. Raises `PayloadTooLarge`."""
    scores = numbers.activated(outcome.rows, details.activation, bool(request.raw_scores))
    response = pb.ClassifyResponse(
        labels=details.labels,
        results=[pb.LabelScores(scores=row) for row in scores],
        usage=_usage(outcome),
        timings=_timings(outcome),
    )
    _check_size(response, "the scores")
    return response


def tokens(found: Tokens, max_context_tokens: int) -> pb.TokenizeResponse:
    """Returns the answer of `Tokenize`. Raises `PayloadTooLarge`."""
    response = pb.TokenizeResponse(
        token_ids=found.token_ids, token_strings=found.token_strings, max_context_tokens=max_context_tokens
    )
    _check_size(response, "the tokens")
    return response


def description(model: model_pb2.ModelDescription, details: ModelDetails) -> pb.DescribeResponse:
    """Returns the answer of `Describe`."""
    return pb.DescribeResponse(
        model=model,
        dimensions=details.dimensions,
        matryoshka_dimensions=details.matryoshka_dimensions,
        prompts=[pb.NamedPrompt(name=name, text=text) for name, text in details.prompts.items()],
        default_prompt_name=details.default_prompt_name,
        labels=details.labels,
        multi_label=bool(details.labels) and details.activation == "sigmoid",
    )


def _check_size(response: pb.ClassifyResponse | pb.TokenizeResponse, what: str) -> None:
    if (size := response.ByteSize()) > MAX_RESPONSE_BYTES:
        raise PayloadTooLarge(f"{what} would take {size} bytes; a response has at most {MAX_RESPONSE_BYTES}")


def _usage(outcome: Outcome) -> usage_pb2.Usage:
    return usage_pb2.Usage(prompt_tokens=outcome.prompt_tokens)


def _timings(outcome: Outcome) -> pb.Timings:
    timings = outcome.timings
    return pb.Timings(queue_s=timings.queue_s, tokenize_s=timings.tokenize_s, compute_s=timings.compute_s)
