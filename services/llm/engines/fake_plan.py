"""How the fake engine's answer is cut into steps: limits, stops, ids and log-probabilities of every token."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpt_server.services.common.errors import ContextLengthExceeded
from gpt_server.services.llm.engine import ChoiceFinish, Delta, GenerateRequest, Sampling
from gpt_server.services.llm.engines.fake_script import Piece, Script, Vocabulary, filler, pieces, token_logprob


@dataclass(frozen=True, slots=True)
class ChoicePlan:
    """The answer of one choice, a delta for each token. `sampled` counts tokens, the ones of a stop included."""

    deltas: Sequence[Delta]
    finish: ChoiceFinish
    sampled: int
    reasoning_tokens: int


def plan(
    request: GenerateRequest,
    script: Script,
    vocabulary: Vocabulary,
    *,
    prompt_tokens: int,
    max_context_tokens: int,
    number: int,
) -> list[ChoicePlan]:
    """Returns the whole answer.

    Args:
        request: the request.
        script: what it asks for.
        vocabulary: gives the ids.
        prompt_tokens: length of the prompt.
        max_context_tokens: of the model.
        number: differs from request to request; it stands in for a seed.

    Raises:
        ContextLengthExceeded: prompt and `max_tokens` do not fit.
        UnsupportedFeature: the form asked for is neither JSON nor a choice.
    """
    options = request.sampling
    if prompt_tokens + (options.max_tokens or 1) > max_context_tokens:
        raise ContextLengthExceeded(max_context_tokens, prompt_tokens, options.max_tokens or 0)
    budget = options.max_tokens or max_context_tokens - prompt_tokens
    seed = options.seed if options.seed is not None else 0 if options.temperature == 0 else number
    return [
        _choice(choice, pieces(request, script, seed + choice), budget, request, vocabulary)
        for choice in range(options.n or 1)
    ]


def _choice(
    choice: int, said: list[Piece], budget: int, request: GenerateRequest, vocabulary: Vocabulary
) -> ChoicePlan:
    options = request.sampling
    wanted = budget if options.ignore_eos else options.min_tokens or 0
    said += [Piece("content", f" {word.strip()}") for word in filler(wanted - len(said), options.seed or 0)]
    finish = ChoiceFinish(choice, "tool_calls" if any(piece.kind == "tool_calls" for piece in said) else "stop")
    if len(said) >= budget:
        said, finish = said[:budget], ChoiceFinish(choice, "length")
    ids = vocabulary.ids([piece.text for piece in said])
    sampled = len(said)
    if stopped := _stopped(said, ids, options, choice):
        said, sampled, finish = stopped
    return ChoicePlan(
        deltas=[
            _delta(choice, piece, token_id, request, vocabulary) for piece, token_id in zip(said, ids, strict=False)
        ],
        finish=finish,
        sampled=sampled,
        reasoning_tokens=sum(piece.kind == "reasoning" for piece in said),
    )


def _stopped(
    said: Sequence[Piece], ids: Sequence[int], options: Sampling, choice: int
) -> tuple[list[Piece], int, ChoiceFinish] | None:
    """Returns what is left before the first stop, how many tokens were sampled by then, and the finish."""
    text, searched_from = "", 0
    for i, (piece, token_id) in enumerate(zip(said, ids, strict=True)):
        text += piece.text if piece.kind == "content" else ""
        if i < (options.min_tokens or 0):
            searched_from = len(text)
            continue
        if token_id in options.stop_token_ids:
            return list(said[:i]), i + 1, ChoiceFinish(choice, "stop", stop_token_id=token_id)
        places = [(at, stop) for stop in options.stop if (at := text.find(stop, searched_from)) >= 0]
        if places:
            at, stop = min(places)
            end = at + len(stop) if options.include_stop_str_in_output else at
            return _cut(said[: i + 1], end), i + 1, ChoiceFinish(choice, "stop", stop=stop)
    return None


def _cut(said: Sequence[Piece], length: int) -> list[Piece]:
    """Returns the pieces with the first `length` characters of content."""
    kept: list[Piece] = []
    for piece in said:
        if piece.kind == "content":
            piece = Piece("content", piece.text[:length])
            length -= len(piece.text)
            if not piece.text:
                break
        kept.append(piece)
    return kept


def _delta(choice: int, piece: Piece, token_id: int, request: GenerateRequest, vocabulary: Vocabulary) -> Delta:
    options = request.sampling
    return Delta(
        choice,
        content=piece.text if piece.kind == "content" else "",
        reasoning=piece.text if piece.kind == "reasoning" else "",
        tool_calls=piece.tool_calls,
        logprobs=[token_logprob(token_id, options.top_logprobs or 0, vocabulary)] if options.logprobs else (),
        token_ids=(token_id,) if request.return_token_ids else (),
    )
