"""Every field of a request is honoured, harmless or refused by name: none is dropped without a word."""

import io
from typing import Any, get_type_hints

import orjson
import pytest
from google.protobuf.descriptor import Descriptor
from openai.types import (
    completion_create_params,
    embedding_create_params,
    image_create_variation_params,
    image_edit_params,
    image_generate_params,
    moderation_create_params,
)
from openai.types.audio import speech_create_params, transcription_create_params, translation_create_params
from openai.types.chat import completion_create_params as chat_create_params
from pydantic import ValidationError

from gpt_server.audio.v1 import speech_pb2, transcription_pb2
from gpt_server.edge.schemas.audio import SpeechRequest, TranscriptionRequest, TranslationRequest
from gpt_server.edge.schemas.audio_fields import SPEECH_FIELDS, TRANSCRIPTION_FIELDS, TRANSLATION_FIELDS
from gpt_server.edge.schemas.base import Body, Harmless, Honoured, Refused
from gpt_server.edge.schemas.chat import ChatCompletionRequest
from gpt_server.edge.schemas.completions import CompletionRequest
from gpt_server.edge.schemas.embed import (
    ClassifyRequest,
    EmbeddingRequest,
    ModerationRequest,
    RerankRequest,
    ScoreRequest,
)
from gpt_server.edge.schemas.embed_fields import EMBEDDING_FIELDS, MODERATION_FIELDS
from gpt_server.edge.schemas.fields import CHAT_FIELDS, COMPLETION_FIELDS
from gpt_server.edge.schemas.image import EditRequest, GenerationRequest, VariationRequest
from gpt_server.edge.schemas.image_fields import EDIT_FIELDS, GENERATION_FIELDS, VARIATION_FIELDS
from gpt_server.edge.schemas.lora_adapters import LoadAdapterRequest, UnloadAdapterRequest
from gpt_server.edge.schemas.tokenize import DetokenizeRequest, TokenizeRequest
from gpt_server.edge.translation.generation import param_of
from gpt_server.edge.uploads import Upload
from gpt_server.embed.v1 import embed_service_pb2 as embed_pb
from gpt_server.image.v1 import image_service_pb2 as image_pb
from gpt_server.llm.v1 import llm_service_pb2 as pb

# vLLM's extensions: openai-api.md, section 4.
VLLM = [
    "top_k",
    "min_p",
    "repetition_penalty",
    "min_tokens",
    "stop_token_ids",
    "include_stop_str_in_output",
    "ignore_eos",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "bad_words",
    "allowed_token_ids",
    "prompt_logprobs",
    "truncate_prompt_tokens",
    "use_beam_search",
    "length_penalty",
    "add_special_tokens",
    "structured_outputs",
    "thinking_token_budget",
    "priority",
    "request_id",
    "session_id",
    "cache_salt",
    "return_token_ids",
    "return_tokens_as_token_ids",
    "kv_transfer_params",
    "vllm_xargs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "truncation_side",
    "stream_interval",
    "logprob_token_ids",
    "repetition_detection",
    "watermarking",
    "ec_transfer_params",
    "return_token_offsets",
]
VLLM_CHAT = [
    "add_generation_prompt",
    "continue_final_message",
    "documents",
    "chat_template",
    "chat_template_kwargs",
    "mm_processor_kwargs",
    "media_io_kwargs",
    "include_reasoning",
]
OURS = ["enable_thinking"]

SOUND = Upload(io.BytesIO(b"x"), "a.wav", 1)

BODIES: list[tuple[type[Body], dict[str, Any], Descriptor]] = [
    (
        ChatCompletionRequest,
        {"model": "m", "messages": [{"role": "user", "content": "x"}]},
        pb.GenerateRequest.DESCRIPTOR,
    ),
    (CompletionRequest, {"model": "m", "prompt": "x"}, pb.GenerateRequest.DESCRIPTOR),
    (TokenizeRequest, {"model": "m", "prompt": "x"}, pb.TokenizeRequest.DESCRIPTOR),
    (DetokenizeRequest, {"model": "m", "tokens": [1]}, pb.DetokenizeRequest.DESCRIPTOR),
    (LoadAdapterRequest, {"lora_name": "a", "lora_path": "b"}, pb.LoadAdapterRequest.DESCRIPTOR),
    (UnloadAdapterRequest, {"lora_name": "a"}, pb.UnloadAdapterRequest.DESCRIPTOR),
    (EmbeddingRequest, {"model": "m", "input": "x"}, embed_pb.EmbedRequest.DESCRIPTOR),
    (RerankRequest, {"model": "m", "query": "x", "documents": ["y"]}, embed_pb.RerankRequest.DESCRIPTOR),
    (ScoreRequest, {"model": "m", "text_1": "x", "text_2": "y"}, embed_pb.ScoreRequest.DESCRIPTOR),
    (ClassifyRequest, {"model": "m", "input": "x"}, embed_pb.ClassifyRequest.DESCRIPTOR),
    (ModerationRequest, {"input": "x"}, embed_pb.ClassifyRequest.DESCRIPTOR),
    (TranscriptionRequest, {"model": "m", "file": SOUND}, transcription_pb2.TranscribeRequest.DESCRIPTOR),
    (TranslationRequest, {"model": "m", "file": SOUND}, transcription_pb2.TranscribeRequest.DESCRIPTOR),
    (SpeechRequest, {"model": "m", "input": "x"}, speech_pb2.SynthesizeRequest.DESCRIPTOR),
    (GenerationRequest, {"prompt": "x"}, image_pb.GenerateRequest.DESCRIPTOR),
    (EditRequest, {"prompt": "x", "image": "data:"}, image_pb.EditRequest.DESCRIPTOR),
    (VariationRequest, {"image": "data:"}, image_pb.EditRequest.DESCRIPTOR),
]
each_body = pytest.mark.parametrize(("schema", "least", "message"), BODIES, ids=[body[0].__name__ for body in BODIES])


def sdk_fields(module: Any) -> set[str]:
    """Returns the fields that the openai package sends."""
    variants = (module.CompletionCreateParamsNonStreaming, module.CompletionCreateParamsStreaming)
    return {name for variant in variants for name in get_type_hints(variant)}


def test_every_field_of_the_sdk_is_decided_on() -> None:
    assert sdk_fields(chat_create_params) <= CHAT_FIELDS.keys()
    assert sdk_fields(completion_create_params) <= COMPLETION_FIELDS.keys()
    assert "prediction" in sdk_fields(chat_create_params)  # the reading of the SDK's types works


def test_every_field_of_the_sdk_for_vectors_and_moderation_is_decided_on() -> None:
    assert {*get_type_hints(embedding_create_params.EmbeddingCreateParams)} <= EMBEDDING_FIELDS.keys()
    assert {*get_type_hints(moderation_create_params.ModerationCreateParams)} <= MODERATION_FIELDS.keys()


def test_every_field_of_the_sdk_for_audio_is_decided_on() -> None:
    heard = transcription_create_params
    for variant in (heard.TranscriptionCreateParamsNonStreaming, heard.TranscriptionCreateParamsStreaming):
        assert {*get_type_hints(variant)} <= TRANSCRIPTION_FIELDS.keys()
    assert {*get_type_hints(translation_create_params.TranslationCreateParams)} <= TRANSLATION_FIELDS.keys()
    assert {*get_type_hints(speech_create_params.SpeechCreateParams)} <= SPEECH_FIELDS.keys()


def test_every_field_of_the_sdk_for_images_is_decided_on() -> None:
    for module, name, table in (
        (image_generate_params, "ImageGenerateParams", GENERATION_FIELDS),
        (image_edit_params, "ImageEditParams", EDIT_FIELDS),
    ):
        for variant in ("NonStreaming", "Streaming"):
            assert {*get_type_hints(getattr(module, name + variant))} <= table.keys()
    assert {*get_type_hints(image_create_variation_params.ImageCreateVariationParams)} <= VARIATION_FIELDS.keys()


def test_every_extension_is_decided_on() -> None:
    assert {*VLLM, *VLLM_CHAT, *OURS} <= CHAT_FIELDS.keys()
    assert set(VLLM) <= COMPLETION_FIELDS.keys()


@each_body
def test_schema_and_table_agree(schema: type[Body], least: Any, message: Descriptor) -> None:
    honoured = {name for name, treatment in schema.fields.items() if isinstance(treatment, Honoured)}
    assert honoured == set(schema.model_fields)


@each_body
def test_honoured_fields_lead_to_fields_of_the_proto(schema: type[Body], least: Any, message: Descriptor) -> None:
    for treatment in schema.fields.values():
        for path in treatment.paths if isinstance(treatment, Honoured) else ():
            found: Any = message
            for step in path.split("."):
                found = found.fields_by_name[step]
                found = found.message_type or found


@each_body
def test_refused_fields_are_refused_by_name(schema: type[Body], least: Any, message: Descriptor) -> None:
    schema.model_validate(least)
    for name, treatment in schema.fields.items():
        if isinstance(treatment, Refused):
            assert fault(schema, least | {name: "x"}) == ("unsupported_parameter", name, treatment.why)
            schema.model_validate(least | {name: None})


@each_body
def test_harmless_fields_are_accepted(schema: type[Body], least: Any, message: Descriptor) -> None:
    for name, treatment in schema.fields.items():
        if isinstance(treatment, Harmless):
            for value in ("x",) if treatment.values is None else treatment.values:
                schema.model_validate(least | {name: value})
            if treatment.values is not None:
                kind, param, why = fault(schema, least | {name: "something else"})
                assert (kind, param) == ("unsupported_parameter", name)
                assert why.startswith(treatment.why)
                assert orjson.dumps(treatment.values[0]).decode().strip('"[]') in why


@each_body
def test_unknown_fields_are_refused_by_name(schema: type[Body], least: Any, message: Descriptor) -> None:
    known = min(schema.fields)
    kind, param, why = fault(schema, least | {f"{known}_": "x"})
    assert (kind, param) == ("unsupported_parameter", f"{known}_")
    assert f"Did you mean '{known}'?" in why


def fault(schema: type[Body], body: Any) -> tuple[str, str, str]:
    """Returns kind, parameter and text of the only fault of a body."""
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(body)
    (found,) = caught.value.errors()
    return found["type"], found["ctx"]["param"], found["ctx"]["why"]


@pytest.mark.parametrize(
    ("path", "given", "param"),
    [
        ("sampling.max_tokens", {"max_tokens"}, "max_tokens"),
        ("sampling.max_tokens", {"max_completion_tokens"}, "max_completion_tokens"),
        ("sampling.stop[1]", {"stop"}, "stop[1]"),
        ("chat.messages[2].content[0]", {"messages"}, "messages[2].content[0]"),
        ("chat.messages[1].tool_calls[0].arguments", {"messages"}, "messages[1].tool_calls[0].function.arguments"),
        ("chat.messages[1].tool_calls[0].id", {"messages"}, "messages[1].tool_calls[0].id"),
        ("chat.messages[1].tool_call_id", {"messages"}, "messages[1].tool_call_id"),
        ("chat.tools[0].parameters", {"tools"}, "tools[0].function.parameters"),
        ("chat.tools", {"tools"}, "tools"),
        ("chat.tool_choice.allowed_tools[0]", {"tool_choice"}, "tool_choice"),
        ("chat.template_args_json", {"chat_template_kwargs"}, "chat_template_kwargs"),
        ("chat.template_args_json", {"documents"}, "documents"),
        ("chat.tools[0].parameters", {"functions"}, "functions[0].parameters"),
        ("chat.tool_choice.allowed_tools[0]", {"function_call"}, "function_call"),
        ("sampling.bad_words[3]", {"bad_words"}, "bad_words[3]"),
        ("structured_output.structural_tag", {"response_format"}, "response_format"),
        ("structured_output.json_schema", {"response_format"}, "response_format"),
        ("structured_output.json_schema", {"guided_json"}, "guided_json"),
        ("structured_output.regex", {"structured_outputs"}, "structured_outputs"),
        ("structured_output", {"guided_regex"}, "guided_regex"),
        ("reasoning.effort", {"reasoning_effort"}, "reasoning_effort"),
        ("reasoning.enabled", {"enable_thinking"}, "enable_thinking"),
        ("reasoning", {"reasoning_effort"}, "reasoning_effort"),
        ("nonsense", {"model"}, None),
    ],
)
def test_paths_of_the_proto_lead_back(path: str, given: set[str], param: str | None) -> None:
    assert param_of(path, CHAT_FIELDS, {"model", "messages"} | given) == param


@pytest.mark.parametrize(
    ("path", "param"), [("text", "prompt"), ("token_ids.ids[3]", "prompt"), ("sampling.top_logprobs", "logprobs")]
)
def test_paths_of_completions_lead_back(path: str, param: str) -> None:
    assert param_of(path, COMPLETION_FIELDS, {"model", "prompt", "logprobs"}) == param
