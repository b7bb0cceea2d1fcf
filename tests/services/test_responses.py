"""No response is over 1 MiB, and nothing is lost when one has to be cut."""

import pytest

from gpt_server.services.common.errors import PayloadTooLarge
from gpt_server.services.llm import responses
from gpt_server.services.llm.engine import (
    ChoiceFinish,
    Delta,
    Finished,
    Output,
    Timings,
    TokenLogprob,
    Tokens,
    TokenScore,
    ToolCallDelta,
    Usage,
)
from gpt_server.services.llm.responses import MAX_RESPONSE_BYTES


def scored(token_id: int) -> TokenLogprob:
    """A token with twenty alternatives."""
    score = TokenScore(token_id, -1.0, "token", b"token")
    return TokenLogprob(score, [score] * 20)


def test_a_huge_output_is_cut_and_says_the_same() -> None:
    finished = Finished([ChoiceFinish(0, "stop")], Usage(1, 4000), Timings())
    delta = Delta(
        choice=3,
        reasoning="ü" * 700_000,
        content="語" * 500_000,
        tool_calls=[ToolCallDelta(0, "id", "name", "{"), ToolCallDelta(0, arguments="}")],
        logprobs=[scored(i) for i in range(4000)],
        token_ids=range(4000),
    )
    messages = list(responses.outputs(Output([delta], finished), queue_s=0.0))
    deltas = [delta for message in messages for delta in message.deltas]
    assert max(message.ByteSize() for message in messages) <= MAX_RESPONSE_BYTES
    assert {piece.choice for piece in deltas} == {3}
    assert "".join(piece.reasoning for piece in deltas) == delta.reasoning
    assert "".join(piece.content for piece in deltas) == delta.content
    calls = [(call.id, call.name, call.arguments) for piece in deltas for call in piece.tool_calls]
    assert calls == [("id", "name", ""), ("", "", "{"), ("", "", "}")]
    assert [logprob.sampled.token_id for piece in deltas for logprob in piece.logprobs] == list(range(4000))
    assert [token_id for piece in deltas for token_id in piece.token_ids] == list(range(4000))
    assert [message.HasField("finished") for message in messages] == [False] * (len(messages) - 1) + [True]


def test_a_huge_tool_call_is_cut_and_says_the_same() -> None:
    call = ToolCallDelta(2, "call_1", "write", "語" * 600_000)
    messages = list(responses.outputs(Output([Delta(0, tool_calls=[call])]), queue_s=0.0))
    pieces = [piece for message in messages for delta in message.deltas for piece in delta.tool_calls]
    assert max(message.ByteSize() for message in messages) <= MAX_RESPONSE_BYTES
    assert "".join(piece.arguments for piece in pieces) == call.arguments
    assert {piece.index for piece in pieces} == {2}
    assert [(piece.id, piece.name) for piece in pieces] == [("call_1", "write")] + [("", "")] * (len(pieces) - 1)


def test_a_usual_output_is_one_message() -> None:
    assert len(list(responses.outputs(Output([Delta(0, "a"), Delta(1, "b")]), queue_s=0.0))) == 1


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="at most 1048576"):
        responses.text("x" * (MAX_RESPONSE_BYTES + 1))
    with pytest.raises(PayloadTooLarge):
        responses.tokens(Tokens([100_000] * 400_000), 5)
    with pytest.raises(PayloadTooLarge):
        responses.started([100_000] * 400_000, return_token_ids=True)
    assert responses.started([100_000] * 400_000, return_token_ids=False).started.prompt_tokens == 400_000
