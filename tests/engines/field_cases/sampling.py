"""Cases of sampling, of forms and of thinking."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gpt_server.services.llm.engine import Reasoning, Sampling, StructuredOutput
from tests.engines.asking import Answer, Subject, ask, greedy, request, undecided
from tests.engines.field_cases import CASES, FieldCase, Seen, case

SCRIPT = json.dumps({"fake": {"reasoning": "well let me think", "reply": "done"}})
"""Makes the fake engine think; for templates, a variable that they do not know."""
TAG = {"type": "tag", "begin": "<n>", "content": {"type": "regex", "pattern": "[0-9]{2}"}, "end": "</n>"}
STRUCTURAL_TAG = json.dumps({"type": "structural_tag", "format": TAG})


async def sampled(subject: Subject, options: Sampling, **fields: Any) -> list[int]:
    """The ids of an answer."""
    return (await ask(subject.engine, request(sampling=options, **fields))).token_ids()


async def _decided(subject: Subject, **fields: Any) -> bool:
    """Whether two answers are the same, where sampling has to choose among 40 tokens, twelve times."""
    options = replace(undecided(max_tokens=12, ignore_eos=True), **fields)
    return await sampled(subject, options) == await sampled(subject, options)


def _narrows(name: str, value: float) -> None:
    async def run(subject: Subject) -> Seen:
        return not await _decided(subject) and await _decided(subject, **{name: value})

    CASES[f"sampling.{name}"] = FieldCase(run)


def _penalises(name: str, value: float) -> None:
    async def run(subject: Subject) -> Seen:
        plain = replace(undecided(max_tokens=16, ignore_eos=True), temperature=0.0)
        return await sampled(subject, plain) != await sampled(subject, replace(plain, **{name: value}))  # type: ignore[arg-type]

    CASES[f"sampling.{name}"] = FieldCase(run)


_narrows("temperature", 0.0)
_narrows("top_p", 1e-6)
_narrows("top_k", 1)
_narrows("min_p", 1.0)
_penalises("presence_penalty", 2.0)
_penalises("frequency_penalty", 2.0)
_penalises("repetition_penalty", 1.8)


@case("sampling.n")
async def _(subject: Subject) -> Seen:
    answer = await ask(subject.engine, request(sampling=greedy(4, n=2)))
    return len(answer.finished.choices) == 2 and bool(answer.text(1))


@case("sampling.max_tokens")
async def _(subject: Subject) -> Seen:
    return len(await sampled(subject, greedy(3, ignore_eos=True))) == 3


def _ending(subject: Subject, **fields: Any) -> Sampling:
    """Sampling that would end at once."""
    return greedy(20, logit_bias=dict.fromkeys(subject.details.eos_token_ids, 100.0), **fields)


@case("sampling.min_tokens")
async def _(subject: Subject) -> Seen:
    held, free = [len(await sampled(subject, _ending(subject, min_tokens=least))) for least in (9, 0)]
    return held == 9 > free


@case("sampling.ignore_eos")
async def _(subject: Subject) -> Seen:
    ignored, free = [len(await sampled(subject, _ending(subject, ignore_eos=ignores))) for ignores in (True, False)]
    return ignored == 20 > free


async def _stopped(subject: Subject, **fields: Any) -> tuple[str, str, Answer]:
    """A text, a stop string in it, and the answer that met it."""
    options = greedy(12, ignore_eos=True, skip_special_tokens=False)
    text = (await ask(subject.engine, request(sampling=options))).text()
    stop = text[3:6]
    return text, stop, await ask(subject.engine, request(sampling=replace(options, stop=[stop], **fields)))


@case("sampling.stop")
async def _(subject: Subject) -> Seen:
    text, stop, answer = await _stopped(subject)
    return answer.text() == text[: text.find(stop)] and answer.finished.choices[0].stop == stop


@case("sampling.include_stop_str_in_output")
async def _(subject: Subject) -> Seen:
    text, stop, answer = await _stopped(subject, include_stop_str_in_output=True)
    return answer.text() == text[: text.find(stop) + len(stop)]


@case("sampling.stop_token_ids")
async def _(subject: Subject) -> Seen:
    whole = await sampled(subject, greedy(12, ignore_eos=True))
    cut = await sampled(subject, greedy(12, ignore_eos=True, stop_token_ids=[whole[-1]]))
    return cut == whole[: whole.index(whole[-1])]


@case("sampling.seed")
async def _(subject: Subject) -> Seen:
    options = [undecided(seed=seed, max_tokens=12, ignore_eos=True) for seed in (7, 7, 8)]
    first, again, other = [await sampled(subject, each) for each in options]
    return first == again != other


@case("sampling.logit_bias")
async def _(subject: Subject) -> Seen:
    return await sampled(subject, greedy(3, logit_bias={50: 100.0}, ignore_eos=True)) == [50] * 3


@case("sampling.logprobs")
async def _(subject: Subject) -> Seen:
    answer = await ask(subject.engine, request(sampling=greedy(4, logprobs=True)))
    return [one.sampled.token_id for one in answer.logprobs()] == answer.token_ids()


@case("sampling.top_logprobs")
async def _(subject: Subject) -> Seen:
    answer = await ask(subject.engine, request(sampling=greedy(4, logprobs=True, top_logprobs=3)))
    return {len(one.top) for one in answer.logprobs()} == {3}


@case("sampling.prompt_logprobs")
async def _(subject: Subject) -> Seen:
    answer = await ask(subject.engine, request(sampling=greedy(4, prompt_logprobs=2)))
    return [one.sampled.token_id for one in answer.prompt_logprobs()] == answer.prompt_token_ids


@case("sampling.skip_special_tokens")
async def _(subject: Subject) -> Seen:
    skipped, kept = [
        (
            await ask(subject.engine, request(sampling=_ending(subject, ignore_eos=True, skip_special_tokens=skip)))
        ).text()
        for skip in (True, False)
    ]
    return len(skipped) < len(kept)


@case("sampling.bad_words")
async def _(subject: Subject) -> Seen:
    whole = await sampled(subject, greedy(4, ignore_eos=True))
    word = await subject.engine.detokenize(whole[:1])
    return (await sampled(subject, greedy(4, ignore_eos=True, bad_words=[word])))[:1] != whole[:1]


@case("sampling.allowed_token_ids")
async def _(subject: Subject) -> Seen:
    return set(await sampled(subject, greedy(8, allowed_token_ids=[50, 60]))) <= {50, 60}


# Forms and thinking.


def _forms(name: str, value: Any, has_form: Callable[[str], bool]) -> None:
    async def run(subject: Subject) -> Seen:
        form = StructuredOutput(**{name: value})
        return has_form((await ask(subject.engine, request(sampling=greedy(60), structured_output=form))).text())

    CASES[f"structured_output.{name}"] = FieldCase(run, needs="structured_output")


_forms("json_object", True, lambda text: text.startswith("{"))
_forms("json_schema", '{"enum": ["red"]}', lambda text: text == '"red"')
_forms("regex", r"(red|blue)-[0-9]", lambda text: text[:-1] in ("red-", "blue-"))
_forms("choice", ["naïve", "世界"], lambda text: text in ("naïve", "世界"))
_forms("grammar", 'root ::= "ab" | "cd"', lambda text: text in ("ab", "cd"))
_forms("structural_tag", STRUCTURAL_TAG, lambda text: text.startswith("<n>") and text.endswith("</n>"))


async def _thoughts(subject: Subject, *wishes: Reasoning) -> tuple[list[list[int]], list[str]]:
    """Prompts and reasoning of the same question, thought about in several ways."""
    answers = [
        await ask(subject.engine, request(sampling=greedy(30), template_args_json=SCRIPT, reasoning=wish))
        for wish in wishes
    ]
    return [answer.prompt_token_ids for answer in answers], [answer.reasoning() for answer in answers]


@case("reasoning.enabled", needs="reasoning")
async def _(subject: Subject) -> Seen:
    prompts, thoughts = await _thoughts(subject, Reasoning(enabled=True), Reasoning(enabled=False))
    return thoughts[1] == "" and (prompts[0] != prompts[1] or bool(thoughts[0]))


@case("reasoning.effort", needs="reasoning")
async def _(subject: Subject) -> Seen:
    prompts, thoughts = await _thoughts(subject, Reasoning(effort="high"), Reasoning(effort="none"))
    return thoughts[1] == "" and (prompts[0] != prompts[1] or bool(thoughts[0]))


@case("reasoning.max_tokens", needs="reasoning")
async def _(subject: Subject) -> Seen:
    _, (free, limited) = await _thoughts(subject, Reasoning(enabled=True), Reasoning(enabled=True, max_tokens=1))
    return len(limited) < len(free) if free else None
