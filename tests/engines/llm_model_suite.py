"""What every engine with real weights does: the same as plain transformers on the same weights, in float32.

Prompts are picked by measuring: only those whose greedy path keeps a clear distance between the two likeliest tokens
are compared across engines, so no test depends on how good the model is.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpt_server.services.common.errors import InvalidField
from gpt_server.services.llm.engine import Reasoning, Sampling, StructuredOutput, Tool
from tests.engines.asking import Answer, Subject, ask, greedy, request, undecided
from tests.engines.llm_suite import SCHEMA, LLMSuite

TOKENS = 24
#: Distance of the two largest logits; float32 in another order of sums moves them by less than a thousandth of it.
CLEAR = 0.02
CANDIDATES = [
    *(
        "Hello!",
        "Who are you?",
        "What can you do?",
        "What is 3 + 4?",
        "What is 20 - 6?",
        "Spell the word cat.",
        "Thanks!",
    ),
    *("Repeat after me: one two three", "What is GPT Server?", "Tell me about the edge.", "Bye", "Say hello to Ann."),
    *("How do I start it?", "What is gRPC?", "Count to three.", "Good morning", "Which port does it use?", "ok", "?"),
]


class Plain:
    """The same weights in plain transformers: what the others are measured by."""

    def __init__(self, folder: str) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def chat_ids(self, text: str) -> list[int]:
        """Returns the prompt of a conversation of one message."""
        messages = [{"role": "user", "content": text}]
        ids = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        return list(ids)

    @torch.inference_mode()
    def generate(self, prompt: list[int], tokens: int = TOKENS, **options: Any) -> tuple[list[int], torch.Tensor]:
        """Returns the ids of a greedy continuation, end-of-sequence included, and the raw logits of each step."""
        ids = torch.tensor([prompt])
        output = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=tokens,
            output_logits=True,
            return_dict_in_generate=True,
            **options,
        )
        return output.sequences[0, len(prompt) :].tolist(), torch.cat(output.logits)

    @torch.inference_mode()
    def logprobs(self, prompt: list[int]) -> torch.Tensor:
        """Returns the log-probabilities at each place of a prompt but the first, tokens x vocabulary."""
        logits: torch.Tensor = self.model(torch.tensor([prompt])).logits
        return logits[0, :-1].log_softmax(-1)

    @torch.inference_mode()
    def greedy(self, prompt: list[int], change: Callable[[torch.Tensor, list[int]], torch.Tensor]) -> list[int]:
        """Returns greedy tokens with changed logits, without a cache, as far as they are clear."""
        sampled: list[int] = []
        for _ in range(TOKENS):
            logits = change(self.model(torch.tensor([prompt + sampled])).logits[0, -1], sampled)
            if _margin(logits[None]) < CLEAR:
                break
            sampled.append(int(logits.argmax()))
        return sampled


@dataclass(frozen=True)
class Clear:
    """A prompt whose greedy continuation leaves no doubt."""

    text: str
    prompt: list[int]
    continuation: list[int]
    logprobs: torch.Tensor


def clear_prompts(plain: Plain, ends: set[int]) -> list[Clear]:
    """Returns the candidates whose whole greedy path is clear, stops cut off."""
    found = []
    for text in CANDIDATES:
        prompt = plain.chat_ids(text)
        continuation, logits = plain.generate(prompt)
        if _margin(logits) >= CLEAR:
            kept = [token for token in continuation if token not in ends]
            found.append(Clear(text, prompt, kept, logits.log_softmax(-1)))
    assert len(found) >= 4, "too few prompts are clear; add candidates"
    return found


def _margin(logits: torch.Tensor) -> float:
    top = logits.topk(2).values
    return float((top[:, 0] - top[:, 1]).min())


@pytest.mark.asyncio(loop_scope="session")
class LLMModelSuite(LLMSuite):
    """Checks against the weights, for the fixtures `subject`, `plain` and `clear`."""

    async def test_greedy_is_that_of_transformers(self, subject: Subject, clear: list[Clear]) -> None:
        for one in clear:
            answer = await ask(subject.engine, request(one.text, sampling=greedy(TOKENS)))
            assert answer.prompt_token_ids == one.prompt
            assert answer.token_ids() == one.continuation

    async def test_alone_is_the_same_as_in_a_crowd(self, subject: Subject, clear: list[Clear]) -> None:
        async def other(number: int) -> Answer:
            sampling = Sampling(temperature=1.3, top_p=0.9, n=1 + number % 2, max_tokens=5 + 7 * number)
            return await ask(subject.engine, request("word " * 40 * number, sampling=sampling))

        wanted = [ask(subject.engine, request(one.text, sampling=greedy(TOKENS))) for one in clear]
        answers = await asyncio.gather(*wanted, *(other(number) for number in range(6)))
        assert [answer.token_ids() for answer in answers[: len(clear)]] == [one.continuation for one in clear]

    async def test_choices_of_one_prompt_are_what_they_are_alone(self, subject: Subject, clear: list[Clear]) -> None:
        answer = await ask(subject.engine, request(clear[0].text, sampling=greedy(TOKENS, n=3)))
        assert [answer.token_ids(choice) for choice in range(3)] == [clear[0].continuation] * 3

    async def test_choices_differ(self, subject: Subject) -> None:
        sampling = undecided(n=4, seed=11, max_tokens=12, ignore_eos=True)
        answer = await ask(subject.engine, request(sampling=sampling))
        assert len({tuple(answer.token_ids(choice)) for choice in range(4)}) == 4

    async def test_logprobs_are_those_of_transformers(self, subject: Subject, clear: list[Clear]) -> None:
        # Raw ones, whatever shapes the distribution that is sampled from.
        sampling = greedy(TOKENS, logprobs=True, top_logprobs=5, logit_bias={clear[0].continuation[0]: 3.0})
        answer = await ask(subject.engine, request(clear[0].text, sampling=sampling))
        first = answer.logprobs()[0]
        values, ids = clear[0].logprobs[0].topk(5)
        assert [score.token_id for score in first.top] == ids.tolist()
        assert [score.logprob for score in first.top] == pytest.approx(values.tolist(), abs=2e-3)
        answer = await ask(subject.engine, request(clear[0].text, sampling=greedy(TOKENS, logprobs=True)))
        expected = clear[0].logprobs[range(len(clear[0].continuation)), clear[0].continuation].tolist()
        assert [one.sampled.logprob for one in answer.logprobs()] == pytest.approx(expected, abs=2e-3)

    async def test_prompt_logprobs_are_those_of_transformers(self, subject: Subject, plain: Plain) -> None:
        # Long enough for several chunks of prefill, wherever an engine cuts.
        prompt = plain.chat_ids("What is gRPC? " * 20)
        answer = await ask(subject.engine, request(token_ids=prompt, sampling=greedy(1, prompt_logprobs=3)))
        expected = plain.logprobs(prompt)
        reported = answer.prompt_logprobs()
        own = expected[range(len(prompt) - 1), prompt[1:]]
        assert [one.sampled.logprob for one in reported] == pytest.approx([0.0, *own.tolist()], abs=5e-3)
        top = torch.tensor([[score.logprob for score in one.top] for one in reported[1:]])
        assert torch.allclose(top, expected.topk(3).values, atol=5e-3)

    @pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}], ids=str)
    async def test_the_narrowest_sampling_is_greedy(
        self, subject: Subject, clear: list[Clear], narrow: dict[str, float]
    ) -> None:
        sampling = Sampling(temperature=1.0, max_tokens=TOKENS, **narrow)  # type: ignore[arg-type]
        answer = await ask(subject.engine, request(clear[0].text, sampling=sampling))
        assert answer.token_ids() == clear[0].continuation

    async def test_samples_follow_the_distribution(self, subject: Subject, clear: list[Clear]) -> None:
        probs = (clear[0].logprobs[0] / 2.0).softmax(-1)
        seen = torch.zeros_like(probs)
        for seed in range(0, 400, 4):
            sampling = Sampling(temperature=2.0, n=4, seed=seed, max_tokens=1, ignore_eos=True)
            answer = await ask(subject.engine, request(clear[0].text, sampling=sampling))
            for choice in range(4):
                seen[answer.token_ids(choice)] += 1
        top = probs.topk(5)
        deviations = (400 * top.values * (1 - top.values)).sqrt()
        assert ((seen[top.indices] - 400 * top.values).abs() < 5 * deviations + 1).all()

    async def test_logit_bias_forces_and_forbids(self, subject: Subject, clear: list[Clear]) -> None:
        forced = clear[0].continuation[-1]
        sampling = greedy(6, logit_bias={forced: 100.0}, ignore_eos=True)
        assert (await ask(subject.engine, request(sampling=sampling))).token_ids() == [forced] * 6
        sampling = greedy(6, logit_bias={clear[0].continuation[0]: -100.0})
        answer = await ask(subject.engine, request(clear[0].text, sampling=sampling))
        assert clear[0].continuation[0] not in answer.token_ids()

    async def test_repetition_penalty_is_that_of_transformers(
        self, subject: Subject, plain: Plain, clear: list[Clear]
    ) -> None:
        def change(one: Clear, logits: torch.Tensor, sampled: list[int]) -> torch.Tensor:
            seen = torch.tensor(sorted({*one.prompt, *sampled}))
            logits[seen] = torch.where(logits[seen] > 0, logits[seen] / 1.8, logits[seen] * 1.8)
            return logits

        await self._compare(subject, plain, clear, change, repetition_penalty=1.8)

    async def test_presence_and_frequency_penalties(self, subject: Subject, plain: Plain, clear: list[Clear]) -> None:
        # A model that is sure of itself repeats a token only if it is raised; the penalties then tire it out.
        raised = clear[0].continuation[0]

        def change(one: Clear, logits: torch.Tensor, sampled: list[int]) -> torch.Tensor:
            counts = torch.bincount(torch.tensor(sampled, dtype=torch.long), minlength=len(logits))
            logits[raised] += 20.0
            return logits - 1.9 * counts - 1.1 * (counts > 0)

        penalties = {"frequency_penalty": 1.9, "presence_penalty": 1.1}
        await self._compare(subject, plain, clear, change, logit_bias={raised: 20.0}, **penalties)
        answer = await ask(subject.engine, request(clear[0].text, sampling=greedy(TOKENS, logit_bias={raised: 20.0})))
        tired = greedy(TOKENS, logit_bias={raised: 20.0}, **penalties)
        assert answer.token_ids().count(raised) > (
            await ask(subject.engine, request(clear[0].text, sampling=tired))
        ).token_ids().count(raised)

    async def _compare(
        self,
        subject: Subject,
        plain: Plain,
        clear: list[Clear],
        change: Callable[[Clear, torch.Tensor, list[int]], torch.Tensor],
        **sampling: Any,
    ) -> None:
        changed = 0
        for one in clear[:6]:
            expected = plain.greedy(one.prompt, partial(change, one))
            options = greedy(TOKENS, ignore_eos=True, **sampling)
            answer = await ask(subject.engine, request(one.text, sampling=options))
            assert answer.token_ids()[: len(expected)] == expected
            common = min(len(expected), len(one.continuation))
            changed += expected[:common] != one.continuation[:common]
        assert changed, "the penalty changes nothing here; add candidates"

    async def test_min_tokens_hold_the_end_back(self, subject: Subject) -> None:
        eos = dict.fromkeys(subject.details.eos_token_ids, 100.0)
        ended = await ask(subject.engine, request(sampling=greedy(20, logit_bias=eos)))
        assert ended.token_ids() == []
        assert ended.finished.choices[0].finish_reason == "stop"
        held = await ask(subject.engine, request(sampling=greedy(20, logit_bias=eos, min_tokens=5)))
        assert len(held.token_ids()) == 5
        ignored = await ask(subject.engine, request(sampling=greedy(20, logit_bias=eos, ignore_eos=True)))
        assert len(ignored.token_ids()) == 20

    async def test_special_tokens_are_shown_on_request(self, subject: Subject) -> None:
        eos = subject.details.eos_token_ids[0]
        for skip in (True, False):
            sampling = greedy(2, logit_bias={eos: 100.0}, ignore_eos=True, skip_special_tokens=skip)
            answer = await ask(subject.engine, request(sampling=sampling))
            assert (answer.text() == "") == skip

    @pytest.mark.parametrize(
        ("form", "bad"),
        [("json_schema", '{"type": "nothing"}'), ("json_schema", '{"$ref": "#/x"}'), ("regex", "a("), ("grammar", "x")],
    )
    async def test_malformed_forms(self, subject: Subject, form: str, bad: str) -> None:
        wanted = request(structured_output=StructuredOutput(**{form: bad}))  # type: ignore[arg-type]
        with pytest.raises(InvalidField) as refusal:
            await subject.engine.prepare(wanted)
        assert refusal.value.field == f"structured_output.{form}"

    async def test_malformed_tool_schema(self, subject: Subject) -> None:
        tool = Tool("f", parameters='{"type": "nothing"}', strict=True)
        with pytest.raises(InvalidField) as refusal:
            await subject.engine.prepare(request(tools=(tool,)))
        assert refusal.value.field == "chat.tools[0].parameters"

    async def test_reasoning_comes_before_a_form_and_keeps_its_budget(self, subject: Subject) -> None:
        wanted = request(
            sampling=greedy(200),
            reasoning=Reasoning(enabled=True, max_tokens=6),
            structured_output=StructuredOutput(json_schema=json.dumps(SCHEMA)),
        )
        answer = await ask(subject.engine, wanted)
        assert json.loads(answer.text())["size"] in ("small", "large")
        reasoning_tokens = answer.finished.usage.reasoning_tokens
        assert reasoning_tokens is not None
        # The budget, and the closing tag.
        assert reasoning_tokens <= 6 + 1
