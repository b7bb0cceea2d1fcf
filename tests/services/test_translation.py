"""Protobuf and dataclasses say the same: names, enum values, and every value on its way."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message as ProtoMessage

from gpt_server.audio.v1 import audio_service_pb2, speech_pb2, transcription_pb2
from gpt_server.common.v1 import media_pb2, model_pb2, usage_pb2
from gpt_server.image.v1 import image_service_pb2 as image_pb
from gpt_server.llm.v1 import chat_pb2, sampling_pb2
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.services.audio import engine as audio_engine
from gpt_server.services.audio import requests as audio_requests
from gpt_server.services.common import content, protobuf
from gpt_server.services.embed import engine as embed_engine
from gpt_server.services.image import engine as image_engine
from gpt_server.services.llm import engine, requests, responses

PAIRS: list[tuple[type[ProtoMessage], Any]] = [
    (media_pb2.Media, engine.Media),
    (media_pb2.Image, engine.Image),
    (media_pb2.Part, engine.Part),
    (chat_pb2.ToolCall, engine.ToolCall),
    (chat_pb2.Message, engine.Message),
    (chat_pb2.Tool, engine.Tool),
    (chat_pb2.ToolChoice, engine.ToolChoice),
    (chat_pb2.Chat, engine.Chat),
    (sampling_pb2.Sampling, engine.Sampling),
    (sampling_pb2.StructuredOutput, engine.StructuredOutput),
    (sampling_pb2.Reasoning, engine.Reasoning),
    (pb.GenerateRequest, engine.GenerateRequest),
    (pb.TokenizeRequest, engine.TokenizeRequest),
    (pb.TokenScore, engine.TokenScore),
    (pb.TokenLogprob, engine.TokenLogprob),
    (pb.ToolCallDelta, engine.ToolCallDelta),
    (pb.Delta, engine.Delta),
    (pb.ChoiceFinish, engine.ChoiceFinish),
    (usage_pb2.Usage, engine.Usage),
    (pb.Timings, engine.Timings),
    (pb.Finished, engine.Finished),
    (transcription_pb2.TranscriptionConfig, audio_engine.TranscriptionConfig),
    (transcription_pb2.VoiceActivity, audio_engine.VoiceActivity),
    (transcription_pb2.PcmFormat, audio_engine.PcmFormat),
    (transcription_pb2.Segment, audio_engine.Segment),
    (transcription_pb2.Word, audio_engine.Word),
    (speech_pb2.VoiceReference, audio_requests.Reference),
    (audio_service_pb2.Voice, audio_engine.Voice),
    (image_pb.Options, image_engine.Options),
    (image_pb.GenerateRequest, image_engine.GenerateRequest),
    (image_pb.EditRequest, image_engine.EditRequest),
    (image_pb.Queued, image_engine.Queued),
    (image_pb.Progress, image_engine.Progress),
]
OURS_ALONE = {engine.GenerateRequest: {"request_id", "adapter"}}

#: What engines say of their models, and what the service adds.
CAPABILITIES = (
    engine.Capability
    | embed_engine.Capability
    | audio_engine.Capability
    | image_engine.Capability
    | Literal["adapter_loading"]
)
ENUMS: list[tuple[EnumDescriptor, Any]] = [
    (chat_pb2.Role.DESCRIPTOR, engine.Role),
    (chat_pb2.ToolChoiceMode.DESCRIPTOR, engine.ToolChoiceMode),
    (sampling_pb2.ReasoningEffort.DESCRIPTOR, engine.ReasoningEffort),
    (pb.FinishReason.DESCRIPTOR, engine.FinishReason),
    (media_pb2.ImageDetail.DESCRIPTOR, content.ImageDetail),
    (model_pb2.Capability.DESCRIPTOR, CAPABILITIES),
    (transcription_pb2.TranscriptionTask.DESCRIPTOR, audio_engine.TranscriptionTask),
    (speech_pb2.AudioFormat.DESCRIPTOR, audio_engine.AudioFormat),
    (image_pb.ImageFormat.DESCRIPTOR, image_engine.ImageFormat),
    (image_pb.EditKind.DESCRIPTOR, image_engine.EditKind),
]


@pytest.mark.parametrize(("message", "ours"), PAIRS, ids=lambda side: side.__name__)
def test_fields_have_the_same_names(message: type[ProtoMessage], ours: Any) -> None:
    names = {field.name for field in dataclasses.fields(ours)} - OURS_ALONE.get(ours, set())
    assert names == set(message.DESCRIPTOR.fields_by_name)


def _values(ours: Any) -> set[str]:
    """The values of a literal type, or of a union of such."""
    return {value for one in get_args(ours) for value in (get_args(one) or (one,))}


@pytest.mark.parametrize(("enum", "ours"), ENUMS, ids=lambda side: getattr(side, "name", ""))
def test_enums_have_the_same_values(enum: EnumDescriptor, ours: Any) -> None:
    zero = enum.values_by_number[0].name
    prefix = zero.removesuffix("UNSPECIFIED")
    assert zero.endswith("_UNSPECIFIED")
    assert {value.name.removeprefix(prefix).lower() for value in enum.values if value.number} == _values(ours)


@pytest.mark.parametrize(
    ("table", "enum"),
    [
        (requests.ROLES, chat_pb2.Role.DESCRIPTOR),
        (requests.TOOL_CHOICE_MODES, chat_pb2.ToolChoiceMode.DESCRIPTOR),
        (requests.REASONING_EFFORTS, sampling_pb2.ReasoningEffort.DESCRIPTOR),
        (protobuf.IMAGE_DETAILS, media_pb2.ImageDetail.DESCRIPTOR),
        (audio_requests.TASKS, transcription_pb2.TranscriptionTask.DESCRIPTOR),
        (audio_requests.FORMATS, speech_pb2.AudioFormat.DESCRIPTOR),
        ({number: name for name, number in responses.FINISH_REASONS.items()}, pb.FinishReason.DESCRIPTOR),
    ],
    ids=lambda side: getattr(side, "name", ""),
)
def test_enum_tables_are_complete_and_right(table: Mapping[int, str], enum: EnumDescriptor) -> None:
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    names = {value.number: value.name.removeprefix(prefix).lower() for value in enum.values if value.number}
    assert dict(table) == names


class Filler:
    """Fills messages with values that are all different from each other and from every default."""

    def __init__(self, choices: Mapping[str, str]) -> None:
        self._choices = choices
        self._count = 0

    def fill(self, message: ProtoMessage) -> ProtoMessage:
        """Sets every field; of a oneof, the member named in `choices`."""
        for field in message.DESCRIPTOR.fields:
            group: Any = field.containing_oneof
            is_alternative = group is not None and len(group.fields) > 1
            if not is_alternative or self._choices.get(group.full_name, group.fields[0].name) == field.name:
                self._set(message, field)
        return message

    def _set(self, message: ProtoMessage, field: Any) -> None:
        value = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            value[self._number()] = float(self._number())
        elif field.message_type and field.is_repeated:
            self.fill(value.add())
            self.fill(value.add())
        elif field.message_type:
            value.SetInParent()
            self.fill(value)
        elif field.is_repeated:
            value.extend([self._scalar(field), self._scalar(field)])
        else:
            setattr(message, field.name, self._scalar(field))

    def _scalar(self, field: Any) -> Any:
        number = self._number()
        if field.enum_type:
            return 1 + number % (len(field.enum_type.values) - 1)
        kinds = {
            FieldDescriptor.CPPTYPE_STRING: f"text {number}" if field.type == field.TYPE_STRING else b"%d" % number,
            FieldDescriptor.CPPTYPE_BOOL: True,
        }
        return kinds.get(field.cpp_type, number)

    def _number(self) -> int:
        self._count += 1
        return self._count


def seen_from_outside(value: Any, field: FieldDescriptor) -> Any:
    """A field of a message in the form that its dataclass should have."""
    if field.message_type and field.message_type.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        return [one_from_outside(item, field) for item in value]
    return one_from_outside(value, field)


def one_from_outside(value: Any, field: FieldDescriptor) -> Any:
    """One item of a field."""
    if field.enum_type:
        prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
        return field.enum_type.values_by_number[value].name.removeprefix(prefix).lower()
    if not field.message_type:
        return value
    special = {
        "JsonObject": True,
        "Choices": list(getattr(value, "texts", ())),
        "TokenIds": list(getattr(value, "ids", ())),
    }
    return special.get(field.message_type.name) or as_dict(value)


def as_dict(message: ProtoMessage) -> dict[str, Any]:
    """A message with all that is set in it."""
    return {field.name: seen_from_outside(value, field) for field, value in message.ListFields()}


def ours_as_dict(value: Any) -> Any:
    """A dataclass with all that is set in it."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: ours_as_dict(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {name: content for name, content in fields.items() if content not in (None, "", [], {})}
    return [ours_as_dict(item) for item in value] if isinstance(value, list | tuple) else value


def alternatives(descriptor: Descriptor, oneof: str) -> list[tuple[str, str]]:
    """The members of a oneof, each with the oneof's full name."""
    group = descriptor.oneofs_by_name[oneof]
    return [(group.full_name, field.name) for field in group.fields]


REQUEST_VARIANTS = [
    *alternatives(pb.GenerateRequest.DESCRIPTOR, "prompt"),
    *alternatives(sampling_pb2.StructuredOutput.DESCRIPTOR, "constraint"),
    *alternatives(media_pb2.Part.DESCRIPTOR, "content"),
]


@pytest.mark.parametrize(("oneof", "member"), REQUEST_VARIANTS, ids=lambda part: part.rpartition(".")[2])
def test_no_field_of_a_generate_request_is_lost(oneof: str, member: str) -> None:
    message = Filler({oneof: member}).fill(pb.GenerateRequest())
    assert isinstance(message, pb.GenerateRequest)
    ours = ours_as_dict(requests.generate_request(message, "id", "adapter"))
    assert (ours.pop("request_id"), ours.pop("adapter")) == ("id", "adapter")
    assert ours == as_dict(message)


def test_unset_fields_stay_unset() -> None:
    ours = requests.generate_request(pb.GenerateRequest(model="m", text=""), "id", None)
    assert ours == engine.GenerateRequest(request_id="id", model="m", text="")


def test_fields_set_to_zero_are_set() -> None:
    sampling = sampling_pb2.Sampling(temperature=0, seed=0, logprobs=False)
    ours = requests.generate_request(pb.GenerateRequest(model="m", sampling=sampling, priority=0), "id", None)
    assert ours.sampling == engine.Sampling(temperature=0, seed=0, logprobs=False)
    assert ours.priority == 0


@pytest.mark.parametrize("member", ["chat", "text"])
def test_no_field_of_a_tokenize_request_is_lost(member: str) -> None:
    message = Filler({"gpt_server.llm.v1.TokenizeRequest.prompt": member}).fill(pb.TokenizeRequest())
    assert isinstance(message, pb.TokenizeRequest)
    assert ours_as_dict(requests.tokenize_request(message)) == as_dict(message)


def test_no_field_of_a_transcription_config_is_lost() -> None:
    message = Filler({}).fill(transcription_pb2.TranscriptionConfig())
    assert isinstance(message, transcription_pb2.TranscriptionConfig)
    assert ours_as_dict(audio_requests.transcription_config(message)) == as_dict(message)


@pytest.mark.parametrize("member", ["voice", "reference"])
def test_no_field_of_a_synthesize_request_is_lost(member: str) -> None:
    (oneof,) = [one for one in speech_pb2.SynthesizeRequest.DESCRIPTOR.oneofs if len(one.fields) > 1]
    message = Filler({oneof.full_name: member}).fill(speech_pb2.SynthesizeRequest())
    assert isinstance(message, speech_pb2.SynthesizeRequest)
    ours = ours_as_dict(audio_requests.synthesize_request(message))
    assert ours.pop("speech") | ours == as_dict(message)


def example(kind: Any, matched: str) -> Any:
    """An instance of a response's dataclass with every field set, all values different."""
    score = engine.TokenScore(7, -0.5, "tok", b"tok")
    other = engine.TokenScore(8, -1.5, "other", b"other")
    logprob = engine.TokenLogprob(score, [score, other])
    call = engine.ToolCallDelta(1, "call_1", "add", '{"a":')
    stop: dict[str, Any] = {"stop": "END"} if matched == "stop" else {"stop_token_id": 12}
    finish = engine.ChoiceFinish(1, "length", **stop)
    made: dict[Any, Any] = {
        engine.Delta: engine.Delta(1, "said", "thought", [call], [logprob, logprob], [7, 8]),
        engine.Finished: engine.Finished(
            [finish, finish], engine.Usage(11, 22, cached_tokens=3, reasoning_tokens=4), engine.Timings(9.0, 0.5, 0.25)
        ),
    }
    return made[kind]


@pytest.mark.parametrize("matched", ["stop", "stop_token_id"])
def test_no_field_of_an_output_is_lost(matched: str) -> None:
    delta, finished = example(engine.Delta, matched), example(engine.Finished, matched)
    output = engine.Output([delta, delta], finished, prompt_logprobs=delta.logprobs)
    (message,) = responses.outputs(output, queue_s=0.0)
    assert as_dict(message) == {
        "prompt_logprobs": ours_as_dict(delta.logprobs),
        "deltas": [ours_as_dict(delta), ours_as_dict(delta)],
        "finished": ours_as_dict(finished),
    }


def test_zero_counts_are_told_from_unknown_ones() -> None:
    usage = engine.Usage(1, 2, cached_tokens=0)
    (message,) = responses.outputs(engine.Output(finished=engine.Finished([], usage, engine.Timings())), queue_s=0.0)
    assert message.finished.usage.HasField("cached_tokens")
    assert not message.finished.usage.HasField("reasoning_tokens")


def test_description_has_every_field() -> None:
    filled = Filler({}).fill(sampling_pb2.Sampling())
    assert isinstance(filled, sampling_pb2.Sampling)
    details = engine.ModelDetails(
        max_context_tokens=5,
        vocab_size=6,
        eos_token_ids=[1, 2],
        capabilities=frozenset({"chat"}),
        default_sampling=requests.sampling(filled),
        chat_template="{{ messages }}",
    )
    answer = responses.description(model_pb2.ModelDescription(name="m"), details)
    assert as_dict(answer) == {
        "model": {"name": "m"},
        "vocab_size": 6,
        "eos_token_ids": [1, 2],
        "default_sampling": as_dict(filled),
        "chat_template": "{{ messages }}",
    }
    assert {field.name for field, _ in answer.ListFields()} == set(pb.DescribeResponse.DESCRIPTOR.fields_by_name)
