"""Loading: a configuration becomes vLLM's engine, its renderer and what has to be known of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.lora.request import LoRARequest
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.tokenizers.registry import cached_tokenizer_from_config
from vllm.v1.engine.async_llm import AsyncLLM

from gpt_server.services.llm.engine import EngineConfig, ModelDetails, Sampling
from gpt_server.services.llm.engines.vllm.arguments import engine_arguments, serving_arguments
from gpt_server.services.llm.parsing import guess_reasoning_parser, guess_tool_parser
from gpt_server.services.llm.serving import ServingArguments
from gpt_server.services.llm.source import capabilities, known_adapters
from gpt_server.services.llm.vocabulary import Vocabulary

#: Ranks that vLLM has kernels for.
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
#: Reserved for adapters of a folder that is still empty.
DEFAULT_RANK = 16


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that vLLM runs.

    Attributes:
        llm: the engine.
        chats: vLLM's own chat pipeline; `chats.parser` is the class of its parsers, or `None`.
        details: what the model is.
        vocabulary: its tokens.
        sees: whether it takes pictures.
        thinks: whether its reasoning is told from its answer.
        calls: whether it calls tools.
        defaults: sampling options under vLLM's names, as the model itself says.
        adapters: what is loaded on it, by name.
    """

    llm: AsyncLLM
    chats: OnlineRenderer
    details: ModelDetails
    vocabulary: Vocabulary
    sees: bool
    thinks: bool
    calls: bool
    defaults: Mapping[str, Any]
    adapters: dict[str, LoRARequest]


def load(config: EngineConfig) -> LoadedModel:
    """Starts vLLM with everything that `config` names but adapters. Takes a minute; raises what vLLM raises."""
    serving = serving_arguments(config)
    args = AsyncEngineArgs(
        model=config.model,
        max_num_seqs=config.max_running,
        **{**_lora(config), **engine_arguments(config)},
    )
    tokenizer = cached_tokenizer_from_config(args.create_model_config())
    template = _chat_template(tokenizer, serving)
    tools = serving.tool_parser or guess_tool_parser(template)
    thoughts = serving.reasoning_parser or guess_reasoning_parser(template)
    tools, thoughts = (None if name == "none" else name for name in (tools, thoughts))
    args.reasoning_parser = thoughts or ""
    llm = AsyncLLM.from_engine_args(args)
    chats = OnlineRenderer(
        llm.model_config,
        llm.renderer,
        request_logger=None,
        chat_template=template or None,
        chat_template_content_format=serving.chat_template_content_format,
        enable_auto_tools=tools is not None,
        tool_parser=tools,
        reasoning_parser=thoughts,
    )
    sees = _sees(llm)
    vocab_size = llm.model_config.get_vocab_size()
    defaults = llm.model_config.get_diff_sampling_param()
    details = ModelDetails(
        max_context_tokens=llm.model_config.max_model_len,
        vocab_size=vocab_size,
        eos_token_ids=_eos_ids(llm, tokenizer),
        capabilities=capabilities(chats=_chats(llm, template), reasons=bool(thoughts), calls=bool(tools), sees=sees),
        default_sampling=Sampling(**{name: defaults[name] for name in _SAYABLE if name in defaults}),
        chat_template=template,
    )
    return LoadedModel(
        llm=llm,
        chats=chats,
        details=details,
        vocabulary=Vocabulary.of(tokenizer, vocab_size),
        sees=sees,
        thinks=thoughts is not None,
        calls=tools is not None,
        defaults={name: value for name, value in defaults.items() if name != "max_tokens"},
        adapters={},
    )


_SAYABLE = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


def _lora(config: EngineConfig) -> dict[str, Any]:
    """Returns what vLLM reserves for adapters: enough for those that are known now, unless `engine_args` say more."""
    known = known_adapters(config)
    if config.adapter_folder is None and not known:
        return {}
    highest = max((adapter["r"] for adapter in known), default=DEFAULT_RANK)
    rank = next((rank for rank in LORA_RANKS if rank >= highest), highest)
    return {"enable_lora": True, "max_loras": max(len(known), 1), "max_lora_rank": rank}


def _chat_template(tokenizer: Any, serving: ServingArguments) -> str:
    if serving.chat_template:
        return Path(serving.chat_template).read_text(encoding="utf-8")
    template = getattr(tokenizer, "chat_template", None) or ""
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()))
    return str(template)


def _chats(llm: AsyncLLM, template: str) -> bool:
    """Whether the model chats: it has a template, or vLLM has a renderer of its own for its kind."""
    return bool(template) or type(llm.renderer).__name__ not in ("HfRenderer", "TerratorchRenderer")


def _sees(llm: AsyncLLM) -> bool:
    if not llm.model_config.is_multimodal_model:
        return False
    return bool(llm.renderer.get_mm_processor().info.allowed_mm_limits.get("image"))


def _eos_ids(llm: AsyncLLM, tokenizer: Any) -> Sequence[int]:
    configured = llm.model_config.try_get_generation_config().get("eos_token_id")
    found = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    return tuple(dict.fromkeys(each for each in found if each is not None))
