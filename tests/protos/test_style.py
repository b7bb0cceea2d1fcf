"""House style of the protos that `buf lint` does not know, read from the descriptors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from gpt_server.audio.v1 import audio_service_pb2, speech_pb2, transcription_pb2
from gpt_server.common.v1 import error_pb2, media_pb2, model_pb2, model_service_pb2, usage_pb2
from gpt_server.embed.v1 import embed_service_pb2, input_pb2
from gpt_server.image.v1 import image_service_pb2
from gpt_server.llm.v1 import chat_pb2, llm_service_pb2, sampling_pb2

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (
        audio_service_pb2,
        speech_pb2,
        transcription_pb2,
        error_pb2,
        media_pb2,
        model_pb2,
        model_service_pb2,
        usage_pb2,
        embed_service_pb2,
        input_pb2,
        image_service_pb2,
        chat_pb2,
        llm_service_pb2,
        sampling_pb2,
    )
]
PROTOS = Path(__file__).parents[2] / "protos"
UNSIGNED = {
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_FIXED64,
}
# Quantities whose unit the field's name must say.
UNITS = ("_s", "_ms", "_bytes", "_tokens", "_hz", "_px")


def messages(file: FileDescriptor) -> Iterator[Descriptor]:
    """Every message of a file, nested ones included, map entries excluded."""
    waiting = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        waiting += message.nested_types
        if not message.GetOptions().map_entry:
            yield message


def fields() -> list[FieldDescriptor]:
    """Every field of every message."""
    return [field for file in FILES for message in messages(file) for field in message.fields]


def test_every_proto_file_is_looked_at() -> None:
    on_disk = {path.relative_to(PROTOS).as_posix() for path in (PROTOS / "gpt_server").rglob("*.proto")}
    assert on_disk == {file.name for file in FILES}


def test_folder_is_package() -> None:
    for file in FILES:
        assert file.package == Path(file.name).parent.as_posix().replace("/", ".")


@pytest.mark.parametrize("field", fields(), ids=lambda field: field.full_name)
def test_integers_are_signed(field: FieldDescriptor) -> None:
    assert field.type not in UNSIGNED


def test_every_sampling_field_can_be_unset() -> None:
    for field in sampling_pb2.Sampling.DESCRIPTOR.fields:
        assert field.has_presence or field.is_repeated, field.full_name


def test_no_option_maps_and_no_free_form_messages() -> None:
    allowed = {"gpt_server.llm.v1.Sampling.logit_bias"}
    for field in fields():
        if field.message_type is None:
            continue
        assert not field.message_type.GetOptions().map_entry or field.full_name in allowed, field.full_name
        assert field.message_type.full_name not in {"google.protobuf.Struct", "google.protobuf.Any"}, field.full_name


def test_json_in_strings_is_a_document() -> None:
    documents = {"json_schema", "template_args_json"}
    assert {field.name for field in fields() if "json" in field.name} == documents | {"json_object"}


@pytest.mark.parametrize("field", fields(), ids=lambda field: field.full_name)
def test_durations_name_their_unit(field: FieldDescriptor) -> None:
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        assert field.name.endswith(UNITS)


def test_names_are_no_accessors_of_java() -> None:
    """Java makes `getXBytes` of a string `x`, which a field `x_bytes` would have too."""
    names = {field.full_name for field in fields()}
    for field in fields():
        if field.type == FieldDescriptor.TYPE_STRING:
            assert f"{field.full_name}_bytes" not in names


def test_enum_zero_is_never_sent() -> None:
    enums = [enum for file in FILES for enum in file.enum_types_by_name.values()]
    assert enums
    for enum in enums:
        assert enum.values[0].number == 0
        assert enum.values[0].name.endswith("_UNSPECIFIED")


def test_rpcs_say_order_cancelling_and_errors() -> None:
    documented = 0
    for path in (PROTOS / "gpt_server").rglob("*.proto"):
        comment: list[str] = []
        for line in path.read_text().splitlines():
            stripped = line.strip()
            if stripped.startswith("rpc "):
                text = " ".join(comment)
                for word in ("Order:", "Cancelling", "Errors"):
                    assert word in text, f"{path.name}: {stripped} does not say {word}"
                documented += 1
            comment = [*comment, stripped] if stripped.startswith("//") else []
    assert documented == sum(len(s.methods) for file in FILES for s in file.services_by_name.values())


def test_requests_and_responses_belong_to_one_rpc() -> None:
    used: list[str] = []
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                used += [method.input_type.full_name, method.output_type.full_name]
    assert len(used) == len(set(used))
