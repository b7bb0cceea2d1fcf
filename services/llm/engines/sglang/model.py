"""Loading: a configuration becomes SGLang's engine, and what has to be known of the model."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sglang.srt.parser.template_detection import (
    detect_reasoning_parser,
    detect_reasoning_pattern,
    detect_tool_call_parser,
)

from gpt_server.services.llm.engine import EngineConfig, ModelDetails, Sampling
from gpt_server.services.llm.engines.sglang import parsers
from gpt_server.services.llm.engines.sglang.arguments import engine_arguments, serving_arguments
from gpt_server.services.llm.engines.sglang.embedded import Embedded
from gpt_server.services.llm.grammar import CallForm
from gpt_server.services.llm.serving import ServingArguments
from gpt_server.services.llm.source import capabilities
from gpt_server.services.llm.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that SGLang runs.

    Attributes:
        sglang: the engine.
        tokenizer: of transformers.
        processor: of transformers, for models that take pictures; else `None`.
        details: what the model is.
        vocabulary: its tokens.
        hidden: special tokens that leave no text, those excepted that parsers look for.
        reasoning_parser: a name of SGLang's, or `None`.
        tool_parser: a name of SGLang's, or `None`.
        call_form: how calls are written; `None`: they cannot be enforced.
        max_pictures: how many a prompt may have; `None`: any number.
    """

    sglang: Embedded
    tokenizer: Any
    processor: Any
    details: ModelDetails
    vocabulary: Vocabulary
    hidden: frozenset[int]
    reasoning_parser: str | None
    tool_parser: str | None
    call_form: CallForm | None
    max_pictures: int | None


def load(config: EngineConfig) -> LoadedModel:
    """Starts SGLang with everything that `config` names. Takes a minute; raises what SGLang raises."""
    serving = serving_arguments(config)
    sglang = Embedded(**engine_arguments(config))
    manager = sglang.tokenizer_manager
    tokenizer, model = manager.tokenizer, manager.model_config
    template = _chat_template(manager, serving)
    reasoning, calls = _parsers(template, tokenizer, serving)
    vocabulary = Vocabulary.of(tokenizer, model.vocab_size)
    details = ModelDetails(
        # SGLang keeps the last tokens of the window to itself.
        max_context_tokens=manager.max_req_input_len,
        vocab_size=model.vocab_size,
        eos_token_ids=_eos_ids(model, tokenizer),
        capabilities=capabilities(
            chats=bool(template),
            reasons=bool(reasoning),
            calls=bool(calls),
            sees=bool(model.is_multimodal and manager.mm_processor is not None),
        ),
        default_sampling=_default_sampling(model),
        chat_template=template,
    )
    return LoadedModel(
        sglang=sglang,
        tokenizer=tokenizer,
        processor=manager.processor if model.is_multimodal else None,
        details=details,
        vocabulary=vocabulary,
        hidden=frozenset(_hidden(vocabulary, reasoning, calls, tokenizer)),
        reasoning_parser=reasoning,
        tool_parser=calls,
        call_form=parsers.call_form(calls, tokenizer) if calls else None,
        max_pictures=(manager.config_value("limit_mm_data_per_request") or {}).get("image"),
    )


def _chat_template(manager: Any, serving: ServingArguments) -> str:
    if serving.chat_template:
        return Path(serving.chat_template).read_text(encoding="utf-8")
    template = getattr(manager.tokenizer, "chat_template", None) or getattr(manager.processor, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()))
    return template or ""


def _parsers(template: str, tokenizer: Any, serving: ServingArguments) -> tuple[str | None, str | None]:
    """Returns the names of the parsers of reasoning and of calls: those that are said, else what SGLang finds."""
    if not template:
        return None, None
    always, toggle = detect_reasoning_pattern(template)
    reasoning = serving.reasoning_parser or detect_reasoning_parser(template, tokenizer, toggle, always)
    calls = serving.tool_parser or detect_tool_call_parser(template, tokenizer, toggle, always)
    return (None if reasoning == "none" else reasoning), (None if calls == "none" else calls)


def _hidden(vocabulary: Vocabulary, reasoning: str | None, calls: str | None, tokenizer: Any) -> Set[int]:
    marks = parsers.marks(*parsers.detectors(reasoning, calls, tokenizer))
    return {token for token, text in vocabulary.specials.items() if text not in marks}


def _eos_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    ends = sorted(model.hf_eos_token_id or ()) or [tokenizer.eos_token_id]
    return tuple(each for each in ends if each is not None)


def _default_sampling(model: Any) -> Sampling:
    said = model.get_default_sampling_params() or {}
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    return Sampling(**{name: said[name] for name in names if said.get(name) is not None})
