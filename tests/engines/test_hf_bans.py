"""What the hf engine does where a request forbids much, and with tokenizers that add tokens of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from gpt_server.services.common.errors import InvalidField
from gpt_server.services.llm.engine import Sampling, StructuredOutput, TokenizeRequest
from tests.engines.asking import Subject, ask, greedy, request

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_form_wins_over_what_is_forbidden(hf: Subject) -> None:
    form = StructuredOutput(choice=["yes"])
    for banned in ({"bad_words": ["yes", "y", "e"]}, {"allowed_token_ids": [50]}):
        answer = await ask(hf.engine, request(sampling=greedy(10, **banned), structured_output=form))
        assert answer.text() == "yes"
        assert answer.finished.choices[0].finish_reason == "stop"


async def test_what_leaves_no_token_is_refused(hf: Subject) -> None:
    word = await hf.engine.detokenize([50])
    ends = list(hf.details.eos_token_ids)
    for options in (
        {"allowed_token_ids": [50], "bad_words": [word]},
        {"allowed_token_ids": ends, "min_tokens": 2},
        {"allowed_token_ids": [*ends, 60], "min_tokens": 2, "stop_token_ids": [60]},
    ):
        with pytest.raises(InvalidField, match="leaves no token") as refusal:
            await hf.engine.prepare(request(sampling=greedy(5, **options)))
        assert refusal.value.field == "sampling.allowed_token_ids"


async def test_a_bad_word_has_tokens(hf: Subject) -> None:
    with pytest.raises(InvalidField, match="has no tokens") as refusal:
        await hf.engine.prepare(request(sampling=greedy(5, bad_words=["x", " "])))
    assert refusal.value.field == "sampling.bad_words[1]"


async def test_bad_words_hold_for_sampling_that_is_not_greedy(hf: Subject) -> None:
    likely = (await ask(hf.engine, request(sampling=greedy(1)))).token_ids()
    word = await hf.engine.detokenize(likely)
    for seed in range(3):
        sampling = Sampling(temperature=1.0, top_k=2, seed=seed, max_tokens=1, bad_words=[word])
        assert (await ask(hf.engine, request(sampling=sampling))).token_ids() != likely


@contextmanager
def begins_with(hf: Subject, token: str) -> Iterator[int]:
    """Makes the tokenizer begin every text with a token, as many models' do; yields its id."""
    tokenizer: Any = hf.engine._model.tokenizer  # type: ignore[attr-defined]
    backend, id_ = tokenizer.backend_tokenizer, tokenizer.convert_tokens_to_ids(token)
    before = backend.post_processor
    backend.post_processor = TemplateProcessing(single=f"{token} $A", special_tokens=[(token, id_)])
    try:
        yield id_
    finally:
        backend.post_processor = before


async def test_special_tokens_come_with_texts_and_not_with_conversations(hf: Subject) -> None:
    with begins_with(hf, "<|im_start|>") as begin:
        plain = list((await hf.engine.prepare(request(text="Hello", add_special_tokens=False))).prompt_token_ids)
        chat = list((await hf.engine.prepare(request("Hello"))).prompt_token_ids)
        for special in (None, True):
            prepared = await hf.engine.prepare(request(text="Hello", add_special_tokens=special))
            assert list(prepared.prompt_token_ids) == [begin, *plain]
        assert list((await hf.engine.prepare(request("Hello", add_special_tokens=True))).prompt_token_ids) == [
            begin,
            *chat,
        ]
        tokens = await hf.engine.tokenize(TokenizeRequest("test", text="Hello", add_special_tokens=True))
        assert list(tokens.token_ids) == [begin, *plain]
        # Words are forbidden as they are written within a text.
        banned = await hf.engine.prepare(request(sampling=greedy(5, bad_words=["Hello"])))
        assert all(begin not in word for word in banned.sampling.bad_words)  # type: ignore[attr-defined]


async def test_a_prompt_is_cut_behind_its_template(hf: Subject) -> None:
    whole = list((await hf.engine.prepare(request("Hello"))).prompt_token_ids)
    cut = await hf.engine.prepare(request("Hello", truncate_prompt_tokens=5))
    assert list(cut.prompt_token_ids) == whole[-5:]
