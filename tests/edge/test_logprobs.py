"""Log-probabilities of completions: where tokens begin, whatever the tokeniser hides or splits."""

from gpt_server.edge.wire.logprobs import CompletionLogprobs, joined
from gpt_server.llm.v1.llm_service_pb2 import TokenLogprob, TokenScore


def token(number: int, content: bytes, logprob: float = -1.0, *top: TokenScore) -> TokenLogprob:
    """A token that was sampled."""
    text = content.decode(errors="replace")
    score = TokenScore(token_id=number, token=text, raw_bytes=content, logprob=logprob)
    return TokenLogprob(sampled=score, top=top)


def test_tokens_that_are_parts_of_a_letter() -> None:
    whole = "a世b".encode()
    fields = CompletionLogprobs(as_ids=False)
    parts = [fields.next([token(at, whole[at : at + 1])]) for at in range(len(whole))]
    assert joined(parts)["text_offset"] == [0, 1, 1, 1, 2]


def test_tokens_that_an_echo_does_not_show() -> None:
    """Begin-of-sequence, and the space that a tokeniser puts before the first word."""
    prompt = [token(1, b"<s>"), token(2, b" Hello"), token(3, b" world")]
    fields = CompletionLogprobs(as_ids=False)
    assert fields.echo(prompt, "Hello world")["text_offset"] == [0, 0, 5]
    assert fields.next([token(4, b"!")])["text_offset"] == [11]


def test_the_sampled_token_is_among_the_likeliest() -> None:
    """OpenAI's list has it even where it is none of them."""
    other = TokenScore(token_id=8, token="b", logprob=-0.5)
    fields = CompletionLogprobs(as_ids=False).next([token(7, b"a", -3.0, other)])
    assert fields["top_logprobs"] == [{"a": -3.0, "b": -0.5}]
    assert CompletionLogprobs(as_ids=True).next([token(7, b"a")])["tokens"] == ["token_id:7"]


def test_what_json_cannot_say() -> None:
    fields = CompletionLogprobs(as_ids=False).next([token(7, b"a", float("-inf"))])
    assert fields["token_logprobs"] == [-9999.0]
