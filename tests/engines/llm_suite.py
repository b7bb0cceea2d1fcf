"""What every LLM engine does: a suite over the contract in `services/llm/engine.py`, for a fixture `subject`.

An engine's test module defines the fixture and a subclass. What its library cannot do stands in `abilities.py` and is
asserted as the named refusal. Engines with real weights also pass `LLMModelSuite`.
"""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import pytest

from gpt_server.services.common.errors import ContextLengthExceeded, InvalidField, UnsupportedFeature
from gpt_server.services.llm.engine import (
    Chat,
    GenerateRequest,
    Image,
    Media,
    Message,
    Part,
    Reasoning,
    Sampling,
    StructuredOutput,
    TokenizeRequest,
    Tool,
    ToolChoice,
)
from tests.engines.asking import Answer, Subject, ask, busy, greedy, idle, request, undecided
from tests.engines.fields_suite import FieldsSuite

SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "size": {"enum": ["small", "large"]}, "none": {"type": "null"}},
    "required": ["ok", "size", "none"],
}
UNICODE = "naïve 世界 👩‍🚀🇪🇺 ok"
WEATHER = Tool(
    "get_weather",
    "Tells the weather.",
    json.dumps({"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}),
)
PING = Tool("ping")


@pytest.mark.asyncio(loop_scope="session")
class LLMSuite(FieldsSuite):
    """Checks that need no model to be of any quality."""

    def long_prefill(self, subject: Subject) -> GenerateRequest:
        """Returns a request whose prefill takes a while."""
        room = subject.details.max_context_tokens - 8
        return request(token_ids=[5 + at % 50 for at in range(room)], sampling=greedy(8))

    def long_decode(self, subject: Subject) -> GenerateRequest:
        """Returns a request that samples for a while."""
        return request(sampling=greedy(2000, ignore_eos=True))

    async def test_greedy_is_deterministic(self, subject: Subject) -> None:
        first, second = [await ask(subject.engine, request()) for _ in range(2)]
        assert first.text() == second.text() != ""
        assert first.token_ids() == second.token_ids()
        assert first.finished.choices == second.finished.choices

    async def test_what_accumulates_is_the_same_as_what_is_streamed(self, subject: Subject) -> None:
        wanted = request(sampling=greedy(40, logprobs=True), return_token_ids=True)
        streamed = await ask(subject.engine, wanted)
        prepared = await subject.engine.prepare(wanted)
        async with aclosing(subject.engine.generate(prepared)) as stream:
            outputs = [await anext(stream)]
            # While this reader is away the engine goes on.
            await ask(subject.engine, wanted)
            outputs += [output async for output in stream]
        finished = outputs[-1].finished
        assert finished is not None
        accumulated = Answer(list(prepared.prompt_token_ids), finished, outputs)
        assert accumulated.text() == streamed.text()
        assert accumulated.token_ids() == streamed.token_ids()
        assert len(accumulated.logprobs()) == len(streamed.logprobs()) == len(streamed.token_ids())
        assert finished.choices == streamed.finished.choices
        assert finished.usage == streamed.finished.usage

    async def test_max_tokens(self, subject: Subject) -> None:
        answer = await ask(subject.engine, request(sampling=greedy(7, ignore_eos=True)))
        assert answer.finished.choices[0].finish_reason == "length"
        assert answer.finished.usage.completion_tokens == len(answer.token_ids()) == 7

    async def test_stop_strings(self, subject: Subject) -> None:
        whole_text = greedy(40, ignore_eos=True, skip_special_tokens=False)
        whole = await ask(subject.engine, request(sampling=whole_text))
        text = whole.text()
        # From the middle of the text, so that it may begin and end within tokens.
        stop = text[len(text) // 2 :][1:5]
        for include in (False, True):
            options = replace(whole_text, stop=["never said", stop], include_stop_str_in_output=include)
            answer = await ask(subject.engine, request(sampling=options))
            assert answer.text() == text[: text.find(stop) + (len(stop) if include else 0)]
            assert answer.finished.choices[0].finish_reason == "stop"
            assert answer.finished.choices[0].stop == stop
            tokens = answer.token_ids()
            assert tokens == whole.token_ids()[: len(tokens)]
            # Those that the text is made of, and no more.
            assert (await subject.engine.detokenize(tokens)).startswith(answer.text())
            assert len(await subject.engine.detokenize(tokens[:-1])) < len(answer.text())

    async def test_stop_token_ids(self, subject: Subject) -> None:
        whole = (await ask(subject.engine, request(sampling=greedy(40, ignore_eos=True)))).token_ids()
        stop = whole[len(whole) // 2]
        answer = await ask(subject.engine, request(sampling=greedy(40, ignore_eos=True, stop_token_ids=[stop])))
        assert answer.token_ids() == whole[: whole.index(stop)]
        finish = answer.finished.choices[0]
        assert (finish.finish_reason, finish.stop_token_id) == ("stop", stop)
        assert answer.finished.usage.completion_tokens == len(answer.token_ids()) + 1

    async def test_usage_counts_the_prompt_once_and_all_choices(self, subject: Subject) -> None:
        sampling = Sampling(temperature=1.5, n=4, seed=11, max_tokens=12, ignore_eos=True)
        answer = await ask(subject.engine, request(sampling=sampling))
        assert [len(answer.token_ids(choice)) for choice in range(4)] == [12] * 4
        assert answer.finished.usage.completion_tokens == 48

    async def test_seed(self, subject: Subject) -> None:
        def seeded(seed: int) -> GenerateRequest:
            return request(sampling=undecided(seed=seed, max_tokens=16, ignore_eos=True))

        alone = [(await ask(subject.engine, seeded(seed))).token_ids() for seed in (7, 7, 8)]
        assert alone[0] == alone[1] != alone[2]
        crowd = await asyncio.gather(*(ask(subject.engine, seeded(seed)) for seed in (7, 1, 2, 8, 7, 3)))
        assert [crowd[place].token_ids() for place in (0, 4, 3)] == alone

    async def test_logprobs(self, subject: Subject) -> None:
        answer = await ask(subject.engine, request(sampling=greedy(12, ignore_eos=True, logprobs=True, top_logprobs=3)))
        logprobs = answer.logprobs()
        assert [one.sampled.token_id for one in logprobs] == answer.token_ids()
        for one in logprobs:
            scores = [score.logprob for score in one.top]
            assert len(scores) == 3
            assert scores == sorted(scores, reverse=True)
            assert one.top[0] == one.sampled
            assert one.sampled.logprob <= 0
            assert one.sampled.token == one.sampled.raw_bytes.decode(errors="replace")

    async def test_json_schema(self, subject: Subject) -> None:
        form = StructuredOutput(json_schema=json.dumps(SCHEMA))
        wanted = request(sampling=greedy(100), structured_output=form)
        if answer := await self.answer(subject, wanted, "structured_output.json_schema"):
            found = json.loads(answer.text())
            assert (type(found["ok"]), found["size"] in ("small", "large"), found["none"]) == (bool, True, None)
            assert answer.finished.choices[0].finish_reason == "stop"

    async def test_json_object_cut_by_length(self, subject: Subject) -> None:
        wanted = request(sampling=greedy(1), structured_output=StructuredOutput(json_object=True))
        if answer := await self.answer(subject, wanted, "structured_output.json_object"):
            assert answer.text().startswith("{")
            assert answer.finished.usage.completion_tokens == 1

    async def test_choice_never_splits_a_code_point(self, subject: Subject) -> None:
        wanted = request(sampling=greedy(200), structured_output=StructuredOutput(choice=[UNICODE]))
        if answer := await self.answer(subject, wanted, "structured_output.choice"):
            assert answer.text() == UNICODE
            assert answer.finished.choices[0].finish_reason == "stop"

    async def test_regex(self, subject: Subject) -> None:
        wanted = request(sampling=greedy(60), structured_output=StructuredOutput(regex=r"(red|blue)-[0-9]{3}"))
        if answer := await self.answer(subject, wanted, "structured_output.regex"):
            colour, _, number = answer.text().partition("-")
            assert colour in ("red", "blue")
            assert len(number) == 3
            assert number.isdecimal()

    async def test_grammar(self, subject: Subject) -> None:
        grammar = 'root ::= "[" word ("," word){2} "]"\nword ::= "ab" | "cd"'
        wanted = request(sampling=greedy(60), structured_output=StructuredOutput(grammar=grammar))
        if answer := await self.answer(subject, wanted, "structured_output.grammar"):
            assert set(answer.text()[1:-1].split(",")) <= {"ab", "cd"}
            assert answer.text().count(",") == 2

    async def test_tool_choice_required(self, subject: Subject) -> None:
        answer = await ask(
            subject.engine,
            request(
                "What is the weather in Rome?",
                sampling=greedy(120),
                tools=(WEATHER, PING),
                tool_choice=ToolChoice("required"),
                parallel_tool_calls=False,
            ),
        )
        ((name, arguments),) = answer.calls()
        self.check_call(name, arguments)
        assert answer.finished.choices[0].finish_reason == "tool_calls"
        assert "tool_call" not in answer.text()

    async def test_tool_choice_named(self, subject: Subject) -> None:
        choice = ToolChoice("required", ["ping"])
        wanted = request(sampling=greedy(120), tools=(WEATHER, PING), tool_choice=choice, parallel_tool_calls=False)
        ((name, arguments),) = (await ask(subject.engine, wanted)).calls()
        assert (name, json.loads(arguments)) == ("ping", {})

    def check_call(self, name: str, arguments: str) -> None:
        """Asserts that a call is one of the tools with arguments that its schema allows."""
        if name == "ping":
            assert json.loads(arguments) == {}
        else:
            assert name == "get_weather"
            assert json.loads(arguments)["city"] in ("Paris", "Rome")

    async def test_reasoning_can_be_turned_off(self, subject: Subject) -> None:
        for reasoning in (Reasoning(enabled=False), Reasoning(effort="none")):
            answer = await ask(subject.engine, request(reasoning=reasoning))
            assert answer.reasoning() == ""

    async def test_priority_is_accepted(self, subject: Subject) -> None:
        if answer := await self.answer(subject, request(priority=-3), "priority"):
            assert answer.text()

    async def test_prompt_of_token_ids_is_taken_as_it_is(self, subject: Subject) -> None:
        tokens = await subject.engine.tokenize(TokenizeRequest("test", text="Hello, world"))
        answer = await ask(subject.engine, request(token_ids=tokens.token_ids))
        assert answer.prompt_token_ids == list(tokens.token_ids)

    async def test_tokenize_is_what_prepare_does(self, subject: Subject) -> None:
        wanted = request("How are you?")
        tokens = await subject.engine.tokenize(TokenizeRequest("test", chat=wanted.chat, return_token_strings=True))
        assert list(tokens.token_ids) == list((await subject.engine.prepare(wanted)).prompt_token_ids)
        assert len(tokens.token_strings) == len(tokens.token_ids)

    async def test_detokenize_undoes_tokenize(self, subject: Subject) -> None:
        tokens = await subject.engine.tokenize(TokenizeRequest("test", text=UNICODE, add_special_tokens=False))
        assert await subject.engine.detokenize(tokens.token_ids) == UNICODE

    async def test_ids_outside_the_vocabulary(self, subject: Subject) -> None:
        bad = subject.details.vocab_size
        with pytest.raises(InvalidField, match=str(bad)) as refusal:
            await subject.engine.prepare(request(token_ids=[0, bad]))
        assert str(refusal.value.field).startswith("token_ids.ids")
        with pytest.raises(InvalidField, match=str(bad)):
            await subject.engine.detokenize([bad])

    async def test_prompts_and_outputs_that_do_not_fit(self, subject: Subject) -> None:
        limit = subject.details.max_context_tokens
        token = list((await subject.engine.tokenize(TokenizeRequest("test", text="Hello"))).token_ids)[:1]
        for tokens, sampling in ((token * (limit + 1), Sampling()), (token * 10, Sampling(max_tokens=limit - 9))):
            with pytest.raises(ContextLengthExceeded, match=f"maximum context length is {limit} tokens"):
                await subject.engine.prepare(request(token_ids=tokens, sampling=sampling))

    async def test_parts_that_the_model_cannot_read(self, subject: Subject) -> None:
        parts = {"audio_input": Part(audio=Media(b"RIFF")), "image_input": Part(image=Image(Media(b"\x89PNG")))}
        for capability, part in parts.items():
            if capability not in subject.details.capabilities:
                chat = Chat([Message("user", [Part(text="What is this?"), part])])
                with pytest.raises(UnsupportedFeature) as refusal:
                    await subject.engine.prepare(request(chat=chat))
                assert refusal.value.field == "chat.messages[0].content[1]"

    async def test_abort_while_decoding(self, subject: Subject) -> None:
        await idle(subject.engine)
        stream = subject.engine.generate(await subject.engine.prepare(self.long_decode(subject)))
        await anext(stream)
        assert subject.engine.running() == 1
        await stream.aclose()
        await idle(subject.engine)

    async def test_abort_during_prefill(self, subject: Subject) -> None:
        engine = subject.engine
        await idle(engine)
        first = asyncio.ensure_future(anext(engine.generate(await engine.prepare(self.long_prefill(subject)))))
        await busy(engine)
        assert not first.done()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await idle(engine)

    async def test_abort_in_the_queue(self, subject: Subject) -> None:
        engine = subject.engine
        await idle(engine)
        prepared = [await engine.prepare(self.long_decode(subject)) for _ in range(engine.config.max_running + 1)]
        streams = [engine.generate(each) for each in prepared]
        firsts = [await anext(stream) for stream in streams[:-1]]
        assert len(firsts) == engine.config.max_running
        waiting = asyncio.ensure_future(anext(streams[-1]))
        await anext(streams[0])
        waiting.cancel()
        await asyncio.wait([waiting])
        for stream in streams[:-1]:
            assert (await anext(stream)).finished is None
        for stream in streams:
            await stream.aclose()
        await idle(engine)
