"""Generate, Tokenize, Detokenize and Describe over real gRPC: order of messages, refusals, what is on the way."""

import grpc
import pytest
from google.protobuf.message import Message as ProtoMessage
from grpc import StatusCode

from gpt_server.common.v1 import media_pb2, model_pb2
from gpt_server.llm.v1 import chat_pb2, llm_service_pb2_grpc, sampling_pb2
from gpt_server.llm.v1 import llm_service_pb2 as pb
from tests.services.asking import Stub, ask, chat, refusal, rest, text_of
from tests.support.service import RunningService, llm_service


async def test_started_comes_first_then_deltas_then_finished(llm: Stub) -> None:
    messages = [message async for message in llm.Generate(ask())]
    assert [_kinds(message) for message in messages] == [
        ["started"],
        *[["deltas"]] * (len(messages) - 2),
        ["deltas", "finished"],
    ]
    assert messages[0].started == pb.Started(prompt_tokens=3)
    assert text_of(messages) == "You said: hello big world"
    usage = messages[-1].finished.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 5)
    assert list(messages[-1].finished.choices) == [pb.ChoiceFinish(choice=0, finish_reason=pb.FINISH_REASON_STOP)]


def _kinds(message: ProtoMessage) -> list[str]:
    return [field.name for field, _ in message.ListFields()]


async def test_started_comes_while_the_request_still_waits(service: RunningService, llm: Stub) -> None:
    gate = service.engines["fake-chat"].gates["prefill"]
    gate.shut()
    first = llm.Generate(ask(sampling={"n": 2}))
    assert (await first.read()).HasField("started")
    second = llm.Generate(ask())
    assert (await second.read()).HasField("started")
    assert service.admissions["fake-chat"].queued == 1
    await llm.Describe(pb.DescribeRequest(model="fake-chat"))  # the server had its turn
    assert service.engines["fake-chat"].running() == 2
    gate.open()
    finished = (await rest(second))[-1].finished
    assert finished.timings.queue_s > 0


async def test_n_choices_interleave_and_all_finish(llm: Stub) -> None:
    messages = [message async for message in llm.Generate(ask(sampling={"n": 2, "seed": 1}, tokens=3))]
    choices = [[delta.choice for delta in message.deltas] for message in messages[1:]]
    assert choices == [[0, 1]] * 3
    assert [choice.choice for choice in messages[-1].finished.choices] == [0, 1]
    assert messages[-1].finished.usage.completion_tokens == 6


async def test_token_ids_come_if_asked_for(llm: Stub) -> None:
    request = ask(reply="one two")
    request.return_token_ids = True
    messages = [message async for message in llm.Generate(request)]
    assert len(messages[0].started.prompt_token_ids) == 3
    assert [len(delta.token_ids) for message in messages for delta in message.deltas] == [1, 1]
    answer = await llm.Detokenize(
        pb.DetokenizeRequest(
            model="fake-chat", token_ids=[i for m in messages for delta in m.deltas for i in delta.token_ids]
        )
    )
    assert answer.text == "one two"


REFUSALS = [
    (pb.GenerateRequest(model="nope", text="x"), StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "served: fake-chat"),
    (pb.GenerateRequest(text="x"), StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "served: fake-chat"),
    (pb.GenerateRequest(model="fake-chat"), StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "chat, text, token_ids"),
    (ask(sampling={"temperature": 3}), StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "between 0 and 2"),
    (ask(sampling={"n": 3}), StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "between 1 and 2; got 3"),
    (ask(oops=1), StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "oops"),
    (ask(sampling={"max_tokens": 4096}), StatusCode.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED", "4096 tokens"),
    (ask("word " * 4096), StatusCode.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED", "4096 tokens"),
    (
        pb.GenerateRequest(model="fake-chat", text="x", structured_output=sampling_pb2.StructuredOutput(regex="[ab]")),
        StatusCode.UNIMPLEMENTED,
        "UNSUPPORTED_FEATURE",
        "regex",
    ),
    (ask(fail_after=0), StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE", "failed"),
]


@pytest.mark.parametrize(("request_", "code", "reason", "message"), REFUSALS)
async def test_refused(
    service: RunningService, llm: Stub, request_: pb.GenerateRequest, code: StatusCode, reason: str, message: str
) -> None:
    refused = await refusal(llm.Generate(request_))
    assert (refused.code, refused.reason, refused.domain) == (code, reason, "gpt-server")
    assert message in refused.message
    admission = service.admissions["fake-chat"]
    assert (admission.running, admission.queued) == (0, 0)


async def test_a_refusal_names_the_field(llm: Stub) -> None:
    assert (await refusal(llm.Generate(ask(sampling={"top_p": 2})))).field == "sampling.top_p"


async def test_media_that_cannot_be_decoded(llm: Stub) -> None:
    broken = media_pb2.Part(image=media_pb2.Image(media=media_pb2.Media(content=b"no image")))
    talk = chat_pb2.Chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[broken])])
    refused = await refusal(llm.Generate(pb.GenerateRequest(model="fake-chat", chat=talk)))
    assert (refused.reason, refused.field) == ("INVALID_MEDIA", "chat.messages[0].content[0]")


async def test_a_chat_with_a_model_that_does_not_chat() -> None:
    model = {"engine": "fake", "model": "none", "engine_args": {"chat": False}}
    async with llm_service({"base": model}) as service, grpc.aio.insecure_channel(service.address) as channel:
        llm = llm_service_pb2_grpc.LLMServiceStub(channel)
        refused = await refusal(llm.Generate(pb.GenerateRequest(model="base", chat=chat())))
        assert refused.reason == "WRONG_MODEL_KIND"
        messages = [message async for message in llm.Generate(pb.GenerateRequest(model="base", text="hi"))]
        assert text_of(messages) == "You said: hi"


async def test_a_full_queue_refuses_at_once_and_says_when_to_retry(service: RunningService, llm: Stub) -> None:
    service.engines["fake-chat"].gates["prefill"].shut()
    held = [llm.Generate(ask()) for _ in range(4)]
    for call in held:
        assert (await call.read()).HasField("started")
    refused = await refusal(llm.Generate(ask()))
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert refused.retry_after_s is not None
    assert refused.retry_after_s >= 1
    service.engines["fake-chat"].gates["prefill"].open()
    assert [text_of(await rest(call)) for call in held] == ["You said: hello big world"] * 4


async def test_a_crash_is_withheld_from_the_caller_and_logged(llm: Stub, caplog: pytest.LogCaptureFixture) -> None:
    call = llm.Generate(ask(crash_after=1), metadata=(("x-request-id", "crash-1"),))
    refused = await refusal(call)
    assert (refused.code, refused.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in refused.message
    assert "crash-1" in refused.message
    assert "secret" in caplog.text


async def test_tokenize_and_detokenize(llm: Stub) -> None:
    tokens = await llm.Tokenize(pb.TokenizeRequest(model="fake-chat", text="a bc d", return_token_strings=True))
    assert list(tokens.token_strings) == ["a", " bc", " d"]
    assert tokens.max_context_tokens == 4096
    text = await llm.Detokenize(pb.DetokenizeRequest(model="fake-chat", token_ids=tokens.token_ids))
    assert text.text == "a bc d"
    same = await llm.Tokenize(pb.TokenizeRequest(model="fake-chat", chat=chat("a bc d")))
    assert same.token_ids == tokens.token_ids
    assert not same.token_strings


@pytest.mark.parametrize(("token_id", "field"), [(-1, "token_ids[0]"), (999_999, "token_ids[0]")])
async def test_detokenize_refuses_ids_that_are_none(llm: Stub, token_id: int, field: str) -> None:
    refused = await refusal(llm.Detokenize(pb.DetokenizeRequest(model="fake-chat", token_ids=[token_id])))
    assert (refused.reason, refused.field) == ("INVALID_FIELD", field)


async def test_answers_over_one_mebibyte_are_refused(llm: Stub) -> None:
    text = "a " * 600_000
    refused = await refusal(llm.Tokenize(pb.TokenizeRequest(model="fake-chat", text=text, return_token_strings=True)))
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")
    assert refused.retry_after_s is None


async def test_describe(llm: Stub) -> None:
    answer = await llm.Describe(pb.DescribeRequest(model="fake-chat"))
    assert answer.model.name == "fake-chat"
    assert answer.model.kind == model_pb2.MODEL_KIND_LLM
    assert answer.model.engine == "fake"
    assert answer.model.limits == model_pb2.ModelLimits(max_context_tokens=4096, max_running=2, max_queued=2)
    assert model_pb2.CAPABILITY_CHAT in answer.model.capabilities
    assert (answer.vocab_size, list(answer.eos_token_ids)) == (1_000_000, [0])
    assert answer.default_sampling == sampling_pb2.Sampling(temperature=1.0)
    assert answer.chat_template


async def test_aliases_and_adapters_reach_the_engine() -> None:
    model = {"engine": "fake", "model": "none", "names": ["big/one", "alias"], "adapters": {"poet": "folder"}}
    async with llm_service({"base": model}) as service, grpc.aio.insecure_channel(service.address) as channel:
        llm = llm_service_pb2_grpc.LLMServiceStub(channel)
        said = {}
        for name in ("big/one", "alias", "big/one:poet"):
            request = pb.GenerateRequest(model=name, text="hi")
            said[name] = text_of([message async for message in llm.Generate(request)])
        assert said == {"big/one": "You said: hi", "alias": "You said: hi", "big/one:poet": "poet, you said: hi"}
        assert (await refusal(llm.Generate(pb.GenerateRequest(model="base", text="hi")))).reason == "MODEL_NOT_FOUND"
        described = await llm.Describe(pb.DescribeRequest(model="big/one:poet"))
        assert (described.model.name, described.model.parent) == ("big/one:poet", "big/one")
