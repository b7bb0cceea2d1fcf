"""Dataclasses -> responses of `gpt_server.llm.v1`. The hot path: each message is built once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from gpt_server.common.v1 import model_pb2, usage_pb2
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1 import sampling_pb2
from gpt_server.services.common.errors import PayloadTooLarge
from gpt_server.services.llm.engine import (
    ChoiceFinish,
    Delta,
    Finished,
    FinishReason,
    ModelDetails,
    Output,
    Sampling,
    TokenLogprob,
    Tokens,
    TokenScore,
    ToolCallDelta,
    Usage,
)

S = TypeVar("S", bound=Sequence[object])

MAX_RESPONSE_BYTES = 1024 * 1024
CHARACTERS_A_PIECE, LOGPROBS_A_PIECE = 100_000, 500

FINISH_REASONS: Mapping[FinishReason, "pb.FinishReason.ValueType"] = {
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    "tool_calls": pb.FINISH_REASON_TOOL_CALLS,
}


def started(prompt_token_ids: Sequence[int], return_token_ids: bool) -> pb.GenerateResponse:
    """Returns the first message of a stream. Raises `PayloadTooLarge` if the ids do not fit."""
    response = pb.GenerateResponse(
        started=pb.Started(
            prompt_tokens=len(prompt_token_ids), prompt_token_ids=prompt_token_ids if return_token_ids else ()
        )
    )
    if return_token_ids:
        _check_size(response, "the ids of the prompt's tokens")
    return response


def outputs(output: Output, queue_s: float) -> Iterator[pb.GenerateResponse]:
    """Yields one message for an engine's output; more only where it would be over 1 MiB.

    Args:
        output: what is new.
        queue_s: time in the service's queue, added to the engine's own in `Finished.timings`.
    """
    response = pb.GenerateResponse(
        prompt_logprobs=[_token_logprob(logprob) for logprob in output.prompt_logprobs],
        deltas=[_delta(delta) for delta in output.deltas],
        finished=_finished(output.finished, queue_s) if output.finished else None,
    )
    if response.ByteSize() <= MAX_RESPONSE_BYTES:
        yield response
        return
    for logprobs in _slices(output.prompt_logprobs, LOGPROBS_A_PIECE):
        yield pb.GenerateResponse(prompt_logprobs=[_token_logprob(logprob) for logprob in logprobs])
    for delta in output.deltas:
        for piece in _pieces(delta):
            yield pb.GenerateResponse(deltas=[_delta(piece)])
    if output.finished:
        yield pb.GenerateResponse(finished=response.finished)


def tokens(found: Tokens, max_context_tokens: int) -> pb.TokenizeResponse:
    """Returns the answer of `Tokenize`. Raises `PayloadTooLarge`."""
    response = pb.TokenizeResponse(
        token_ids=found.token_ids, token_strings=found.token_strings, max_context_tokens=max_context_tokens
    )
    _check_size(response, "the tokens")
    return response


def text(found: str) -> pb.DetokenizeResponse:
    """Returns the answer of `Detokenize`. Raises `PayloadTooLarge`."""
    response = pb.DetokenizeResponse(text=found)
    _check_size(response, "the text")
    return response


def description(model: model_pb2.ModelDescription, details: ModelDetails) -> pb.DescribeResponse:
    """Returns the answer of `Describe`."""
    return pb.DescribeResponse(
        model=model,
        vocab_size=details.vocab_size,
        eos_token_ids=details.eos_token_ids,
        default_sampling=_sampling(details.default_sampling),
        chat_template=details.chat_template,
    )


def _check_size(response: pb.GenerateResponse | pb.TokenizeResponse | pb.DetokenizeResponse, what: str) -> None:
    if (size := response.ByteSize()) > MAX_RESPONSE_BYTES:
        raise PayloadTooLarge(f"{what} would take {size} bytes; a response has at most {MAX_RESPONSE_BYTES}")


def _delta(delta: Delta) -> pb.Delta:
    return pb.Delta(
        choice=delta.choice,
        content=delta.content,
        reasoning=delta.reasoning,
        tool_calls=[
            pb.ToolCallDelta(index=call.index, id=call.id, name=call.name, arguments=call.arguments)
            for call in delta.tool_calls
        ],
        logprobs=[_token_logprob(logprob) for logprob in delta.logprobs],
        token_ids=delta.token_ids,
    )


def _token_logprob(logprob: TokenLogprob) -> pb.TokenLogprob:
    return pb.TokenLogprob(sampled=_token_score(logprob.sampled), top=[_token_score(score) for score in logprob.top])


def _token_score(score: TokenScore) -> pb.TokenScore:
    return pb.TokenScore(token_id=score.token_id, logprob=score.logprob, token=score.token, raw_bytes=score.raw_bytes)


def _finished(finished: Finished, queue_s: float) -> pb.Finished:
    timings = finished.timings
    return pb.Finished(
        choices=[_choice_finish(choice) for choice in finished.choices],
        usage=_usage(finished.usage),
        timings=pb.Timings(queue_s=queue_s + timings.queue_s, prefill_s=timings.prefill_s, decode_s=timings.decode_s),
    )


def _choice_finish(choice: ChoiceFinish) -> pb.ChoiceFinish:
    finish = pb.ChoiceFinish(choice=choice.choice, finish_reason=FINISH_REASONS[choice.finish_reason])
    if choice.stop is not None:
        finish.stop = choice.stop
    if choice.stop_token_id is not None:
        finish.stop_token_id = choice.stop_token_id
    return finish


def _usage(usage: Usage) -> usage_pb2.Usage:
    return usage_pb2.Usage(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )


def _sampling(options: Sampling) -> sampling_pb2.Sampling:
    names = sampling_pb2.Sampling.DESCRIPTOR.fields_by_name
    return sampling_pb2.Sampling(**{name: getattr(options, name) for name in names})


def _pieces(delta: Delta) -> Iterator[Delta]:
    """Cuts a delta into small ones that say the same, one field at a time."""
    for text in _slices(delta.reasoning, CHARACTERS_A_PIECE):
        yield Delta(delta.choice, reasoning=text)
    for text in _slices(delta.content, CHARACTERS_A_PIECE):
        yield Delta(delta.choice, content=text)
    for call in delta.tool_calls:
        if call.id or call.name:
            yield Delta(delta.choice, tool_calls=[ToolCallDelta(call.index, call.id, call.name)])
        for text in _slices(call.arguments, CHARACTERS_A_PIECE):
            yield Delta(delta.choice, tool_calls=[ToolCallDelta(call.index, arguments=text)])
    for logprobs in _slices(delta.logprobs, LOGPROBS_A_PIECE):
        yield Delta(delta.choice, logprobs=logprobs)
    for token_ids in _slices(delta.token_ids, CHARACTERS_A_PIECE):
        yield Delta(delta.choice, token_ids=token_ids)


def _slices(whole: S, length: int) -> Iterator[S]:
    return (whole[begin : begin + length] for begin in range(0, len(whole), length))  # type: ignore[misc]
