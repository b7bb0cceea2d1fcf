"""Loading: a folder or hub id becomes a model, a tokenizer and what has to be known of both."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xgrammar
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import get_layer_types_and_kwargs
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.utils.logging import disable_progress_bar

from gpt_server.services.llm.engine import EngineConfig, ModelDetails, Sampling
from gpt_server.services.llm.engines.hf.adapters import Adapters
from gpt_server.services.llm.engines.hf.arguments import HFArguments
from gpt_server.services.llm.parsing import (
    REASONING_PARSERS,
    TOOL_PARSERS,
    guess_reasoning_parser,
    guess_tool_parser,
)
from gpt_server.services.llm.source import capabilities

#: For each row of a step its tokens, and its adapter if it has one.
Rows = Sequence[tuple[Sequence[int], str | None]]

_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory. `token_bytes`: each token's bytes, by id; empty for ids without text.

    `processor`: makes pictures and text into inputs; `None` for a model that does not see.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    details: ModelDetails
    token_bytes: Sequence[bytes]
    special_ids: frozenset[int]
    tokenizer_info: xgrammar.TokenizerInfo
    #: Names in the tables of `parsing`, or None.
    reasoning_parser: str | None
    tool_parser: str | None
    adapters: Adapters
    processor: Any = None
    max_images: int = 0

    @property
    def device(self) -> torch.device:
        """Where the inputs of a step go."""
        device: torch.device = self.model.device
        return device

    @torch.inference_mode()
    def forward(self, rows: Rows, **inputs: Any) -> torch.Tensor:
        """Runs a step and returns the logits after each row's last token, float32, rows x vocabulary."""
        return self._logits(rows, 1, inputs)[:, -1].float()

    @torch.inference_mode()
    def forward_whole(self, rows: Rows, **inputs: Any) -> torch.Tensor:
        """Runs a step of one row and returns the logits after each of its tokens, as the model has them."""
        return self._logits(rows, 0, inputs)[0]

    def placed(self, media: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns what a processor has made of pictures, where and as the model takes it."""
        dtype = self.model.dtype
        return {
            name: value.to(self.device, dtype if value.is_floating_point() else None) for name, value in media.items()
        }

    def position_shift(self) -> int:
        """Returns how far positions go beyond columns after a prompt with pictures, which was the last step.

        Where positions have three axes (Qwen's models), a picture takes fewer of them than it has tokens.
        """
        deltas = getattr(getattr(self.model, "model", None), "rope_deltas", None)
        return 0 if deltas is None else int(deltas.flatten()[0])

    def _logits(self, rows: Rows, keep: int, inputs: dict[str, Any]) -> torch.Tensor:
        ids = torch.tensor([token_ids for token_ids, _ in rows], device=self.device)
        inputs |= self.adapters.options([adapter for _, adapter in rows])
        logits: torch.Tensor = self.adapters.model(input_ids=ids, use_cache=True, logits_to_keep=keep, **inputs).logits
        return logits


def load(config: EngineConfig) -> LoadedModel:
    """Loads everything that `config` names. Takes seconds to minutes; raises what transformers raises."""
    disable_progress_bar()  # the log of a service is lines, perhaps of JSON
    arguments = HFArguments.model_validate(dict(config.engine_args))
    source: dict[str, Any] = {"revision": arguments.revision, "trust_remote_code": arguments.trust_remote_code}
    sees = type(AutoConfig.from_pretrained(config.model, **source)) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    tokenizer = AutoTokenizer.from_pretrained(config.model, **source)
    processor = AutoProcessor.from_pretrained(config.model, **source) if sees else None
    model = _load_weights(config, arguments, source, AutoModelForImageTextToText if sees else AutoModelForCausalLM)
    vocab_size = model.get_input_embeddings().weight.shape[0]
    tokenizer.chat_template = tokenizer.chat_template or getattr(processor, "chat_template", None)
    template = _chat_template(tokenizer, arguments)
    reasoning = arguments.reasoning_parser or guess_reasoning_parser(template)
    tools = arguments.tool_parser or guess_tool_parser(template)
    reasoning, tools = (None if name == "none" or not template else name for name in (reasoning, tools))
    eos_ids = _eos_ids(model, tokenizer)
    special_ids = _special_ids(tokenizer)
    token_bytes, info = _vocabulary(tokenizer, vocab_size, special_ids, eos_ids)
    details = ModelDetails(
        max_context_tokens=_window(model, arguments),
        vocab_size=vocab_size,
        eos_token_ids=eos_ids,
        capabilities=capabilities(chats=bool(template), reasons=bool(reasoning), calls=bool(tools), sees=sees),
        default_sampling=_default_sampling(model.generation_config),
        chat_template=template,
    )
    adapters = Adapters(model)
    for name, folder in config.adapters.items():
        adapters.load(name, Path(folder))
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        details=details,
        token_bytes=token_bytes,
        special_ids=special_ids,
        tokenizer_info=info,
        reasoning_parser=reasoning,
        tool_parser=tools,
        adapters=adapters,
        processor=processor,
        max_images=arguments.max_images,
    )


def _load_weights(config: EngineConfig, arguments: HFArguments, source: dict[str, Any], kind: Any) -> Any:
    device = arguments.device
    if device == "auto":
        device = "cuda" if config.gpus else "cpu"
    if device.startswith("cuda") and torch.cuda.device_count() < max(config.gpus, 1):
        raise RuntimeError(f"{config.gpus} GPUs are configured, torch sees {torch.cuda.device_count()}")
    dtype = arguments.dtype
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    model = kind.from_pretrained(
        config.model,
        dtype=dtype if dtype == "auto" else getattr(torch, dtype),
        attn_implementation=arguments.attn_implementation,
        device_map="auto" if config.gpus > 1 else device,
        **source,
    )
    kinds = set(get_layer_types_and_kwargs(model.config.get_text_config())[0]) - _ATTENTION
    if kinds or "logits_to_keep" not in inspect.signature(model.forward).parameters:
        wanted = f"caches of kind {', '.join(sorted(kinds))}" if kinds else "steps without all logits"
        raise RuntimeError(f"{type(model).__name__} needs {wanted}, which the hf engine does not have")
    return model


def _chat_template(tokenizer: PreTrainedTokenizerBase, arguments: HFArguments) -> str:
    if arguments.chat_template:
        tokenizer.chat_template = Path(arguments.chat_template).read_text(encoding="utf-8")
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()))
        tokenizer.chat_template = template
    return template or ""


def _eos_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> Sequence[int]:
    configured = model.generation_config.eos_token_id if model.generation_config else None
    found = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    # Marks that parsers look for are text, whatever the tokenizer calls them.
    marks = {mark for parser in TOOL_PARSERS.values() for mark in (parser.mark, parser.end_mark)}
    marks |= {mark for reasoning in REASONING_PARSERS.values() for mark in (reasoning.begin, reasoning.end)}
    added = {token: entry for token, entry in tokenizer.added_tokens_decoder.items() if entry.content not in marks}
    return frozenset(token for token, entry in added.items() if entry.special or token in tokenizer.all_special_ids)


def _vocabulary(
    tokenizer: PreTrainedTokenizerBase, size: int, special_ids: frozenset[int], eos_ids: Sequence[int]
) -> tuple[Sequence[bytes], xgrammar.TokenizerInfo]:
    detected = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=size)
    token_bytes = detected.decoded_vocab
    # Without text a token is special to xgrammar: no grammar lets it through.
    ordinary = [b"" if token in special_ids else text for token, text in enumerate(token_bytes)]
    info = xgrammar.TokenizerInfo(ordinary, vocab_size=size, stop_token_ids=list(eos_ids))
    return token_bytes, info


def _window(model: Any, arguments: HFArguments) -> int:
    own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    wanted = arguments.max_context_tokens
    if own is None and wanted is None:
        raise RuntimeError("the model does not say how long its context window is; set engine_args.max_context_tokens")
    if own is not None and wanted is not None and wanted > own:
        raise RuntimeError(f"engine_args.max_context_tokens is {wanted}, the model's window has {own}")
    return int(wanted or own or 0)


def _default_sampling(generation: GenerationConfig | None) -> Sampling:
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    said = {name: getattr(generation, name, None) for name in names}
    return Sampling(**{name: value for name, value in said.items() if value is not None})
