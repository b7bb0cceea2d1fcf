"""Every field of a request, over every engine: honoured, refused by name, or harmless, as `abilities.py` says."""

import re
from collections.abc import Mapping
from typing import ClassVar

import pytest

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature
from gpt_server.services.llm.engine import GenerateRequest, StructuredOutput, TokenizeRequest
from tests.engines.asking import Answer, Subject, ask, greedy, request
from tests.engines.field_cases import CASES, FieldCase
from tests.engines.field_cases import conversation as _conversation  # noqa: F401 (importing them enters their cases)
from tests.engines.field_cases import sampling as _sampling  # noqa: F401


@pytest.mark.asyncio(loop_scope="session")
class FieldsSuite:
    """Checks of single fields. An engine's class takes `refuses` and `harmless` from its line in `ABILITIES`."""

    #: Fields that the engine refuses as `UnsupportedFeature`.
    refuses: ClassVar[frozenset[str]] = frozenset()
    #: Fields that change nothing, and why they need not.
    harmless: ClassVar[Mapping[str, str]] = {}

    async def answer(self, subject: Subject, wanted: GenerateRequest, feature: str = "") -> Answer | None:
        """Returns the answer, or None after the engine has refused the feature as it should."""
        if feature in self.refuses:
            with pytest.raises(UnsupportedFeature) as refusal:
                await subject.engine.prepare(wanted)
            assert refusal.value.field == feature
            return None
        return await ask(subject.engine, wanted)

    @pytest.mark.parametrize("path", CASES)
    async def test_field_is_what_the_table_says(self, subject: Subject, path: str) -> None:
        case: FieldCase = CASES[path]
        missing = case.needs is not None and case.needs not in subject.details.capabilities
        if path in self.refuses or missing:
            with pytest.raises(UnsupportedFeature) as refusal:
                await case.run(subject)
            # A part is refused as a whole: `chat.messages[0].content[1]`.
            assert path.startswith(re.sub(r"\[\d+\]", "", refusal.value.field or "no field"))
        elif path in self.harmless:
            assert not await case.run(subject), "it has an effect: it is honoured"
        else:
            assert await case.run(subject) is not False

    async def test_bad_words_of_one_token_and_of_several(self, subject: Subject) -> None:
        options = {"ignore_eos": True, "skip_special_tokens": False}
        whole = (await ask(subject.engine, request(sampling=greedy(16, **options)))).token_ids()
        for length in (1, 2, 3):
            # A place where the tokens are those that their text is written in.
            places = [whole[at : at + length] for at in range(len(whole) - length)]
            words = [word for word in places if await self._written(subject, word)]
            bad = await subject.engine.detokenize(words[0])
            wanted = request(sampling=greedy(16, bad_words=[bad], **options))
            if (answer := await self.answer(subject, wanted, "sampling.bad_words")) is None:
                return
            found = answer.token_ids()
            at = next(at for at in range(len(whole)) if whole[at : at + length] == words[0])
            # All of it may come but its end.
            assert found[: at + length - 1] == whole[: at + length - 1]
            assert all(found[at : at + length] != words[0] for at in range(len(found)))

    async def _written(self, subject: Subject, word: list[int]) -> bool:
        text = await subject.engine.detokenize(word)
        tokens = await subject.engine.tokenize(TokenizeRequest("test", text=text, add_special_tokens=False))
        return bool(text.strip()) and text == text.lstrip() and list(tokens.token_ids) == word

    async def test_allowed_tokens_hold_for_the_end_too(self, subject: Subject) -> None:
        wanted = request(sampling=greedy(5, allowed_token_ids=[50]))
        if answer := await self.answer(subject, wanted, "sampling.allowed_token_ids"):
            assert answer.token_ids() == [50] * 5
            assert answer.finished.choices[0].finish_reason == "length"

    async def test_allowed_tokens_outside_the_vocabulary(self, subject: Subject) -> None:
        bad = subject.details.vocab_size
        if "sampling.allowed_token_ids" not in self.refuses:
            with pytest.raises(InvalidField, match=str(bad)) as refusal:
                await subject.engine.prepare(request(sampling=greedy(5, allowed_token_ids=[bad])))
            assert str(refusal.value.field).startswith("sampling.allowed_token_ids")

    async def test_prompt_logprobs(self, subject: Subject) -> None:
        for count in (0, 2):
            wanted = request(sampling=greedy(3, n=2, logprobs=True, prompt_logprobs=count, ignore_eos=True))
            if (answer := await self.answer(subject, wanted, "sampling.prompt_logprobs")) is None:
                return
            first, *others = answer.prompt_logprobs()
            assert (first.sampled.token_id, first.sampled.logprob) == (answer.prompt_token_ids[0], 0.0)
            assert not first.top
            assert [one.sampled.token_id for one in others] == answer.prompt_token_ids[1:]
            for one in others:
                scores = [score.logprob for score in one.top]
                assert len(scores) == count
                assert scores == sorted(scores, reverse=True)
                assert one.sampled.logprob < 0
                assert one.sampled.token == one.sampled.raw_bytes.decode(errors="replace")
            assert len(answer.logprobs(1)) == 3

    async def test_without_prompt_logprobs_there_are_none(self, subject: Subject) -> None:
        assert (await ask(subject.engine, request(sampling=greedy(3, logprobs=True)))).prompt_logprobs() == []

    async def test_prompt_logprobs_of_one_token(self, subject: Subject) -> None:
        prompt = (await subject.engine.tokenize(TokenizeRequest("test", text="Hello"))).token_ids[:1]
        wanted = request(token_ids=prompt, sampling=greedy(2, prompt_logprobs=1))
        if answer := await self.answer(subject, wanted, "sampling.prompt_logprobs"):
            assert [one.sampled.token_id for one in answer.prompt_logprobs()] == list(prompt)

    @pytest.mark.parametrize("kept", [1, 4, -1])
    async def test_truncation_keeps_the_end(self, subject: Subject, kept: int) -> None:
        limit = subject.details.max_context_tokens
        tokens = (await subject.engine.tokenize(TokenizeRequest("test", text="one two three four"))).token_ids
        whole = (list(tokens) * limit)[: limit + 7]
        wanted = request(token_ids=whole, sampling=greedy(5), truncate_prompt_tokens=kept)
        found = list((await subject.engine.prepare(wanted)).prompt_token_ids)
        assert found == whole[-(limit - 5 if kept == -1 else kept) :]

    async def test_a_prompt_that_is_short_enough_stays(self, subject: Subject) -> None:
        for kept in (1000, -1):
            prompts = [await subject.engine.prepare(request(truncate_prompt_tokens=each)) for each in (None, kept)]
            assert list(prompts[0].prompt_token_ids) == list(prompts[1].prompt_token_ids)

    async def test_special_tokens_are_those_of_tokenize(self, subject: Subject) -> None:
        for special in (None, True, False):
            tokens = TokenizeRequest("test", text="Hello", add_special_tokens=special)
            prepared = await subject.engine.prepare(request(text="Hello", add_special_tokens=special))
            assert list(prepared.prompt_token_ids) == list((await subject.engine.tokenize(tokens)).token_ids)

    async def test_structural_tags_leave_the_rest_free(self, subject: Subject) -> None:
        tag = '{"type": "tag", "begin": "<n>", "content": {"type": "const_string", "value": "é!"}, "end": "</n>"}'
        free = f'{{"type": "sequence", "elements": [{tag}, {{"type": "any_text"}}]}}'
        form = StructuredOutput(structural_tag=f'{{"type": "structural_tag", "format": {free}}}')
        wanted = request(sampling=greedy(30), structured_output=form)
        if answer := await self.answer(subject, wanted, "structured_output.structural_tag"):
            assert answer.text().startswith("<n>é!</n>")
