"""Loading: a folder or hub id becomes a model of the library, and what has to be known of it."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoConfig
from transformers.utils.hub import cached_file
from transformers.utils.logging import disable_progress_bar

from gpt_server.services.embed.engine import Activation, Capability, EngineConfig, ModelDetails
from gpt_server.services.embed.engines.sentence_transformers.arguments import Arguments

Kind = Literal["embedding", "rerank", "classification"]
DEFAULT_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        output: where its forward pass leaves the rows.
        compares: whether it makes vectors and is to score pairs by their cosine.
    """

    model: Any
    details: ModelDetails
    output: str
    compares: bool = False

    @property
    def takes_pictures(self) -> bool:
        """Whether an input may have a picture in it."""
        return "image_input" in self.details.capabilities


def load(config: EngineConfig) -> LoadedModel:
    """Loads everything that `config` names. Takes seconds to minutes; raises what the library raises."""
    disable_progress_bar()  # the log of a service is lines, perhaps of JSON
    arguments = Arguments.model_validate(dict(config.engine_args))
    said = _kind(config, arguments)
    kind = said if arguments.task == "auto" else arguments.task
    makes_vectors = kind == "embedding" or (kind == "rerank" and said == "embedding")
    model = _construct(SentenceTransformer if makes_vectors else CrossEncoder, config, arguments)
    model.eval()
    if model.tokenizer is not None:  # an input that is too long is an error of ours, not a line in the log
        model.tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    if arguments.backend == "onnx":
        _exchange_transformer(model, Path(config.model) / arguments.onnx_file)
    compares = makes_vectors and kind == "rerank"
    details = _details(model, kind, arguments)
    if compares:
        details = replace(details, activation="cosine")
    return LoadedModel(model, details, "sentence_embedding" if makes_vectors else "scores", compares)


def _construct(constructor: Any, config: EngineConfig, arguments: Arguments) -> Any:
    device = arguments.device
    if device == "auto":
        device = "cuda" if config.gpus else "cpu"
    dtype = arguments.dtype
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    model_kwargs: dict[str, Any] = {"dtype": dtype if dtype == "auto" else getattr(torch, dtype)}
    if arguments.attn_implementation:
        model_kwargs["attn_implementation"] = arguments.attn_implementation
    processor_kwargs: dict[str, Any] = {}
    if arguments.chat_template:
        processor_kwargs["chat_template"] = Path(arguments.chat_template).read_text(encoding="utf-8")
    return constructor(
        config.model,
        device=device,
        trust_remote_code=arguments.trust_remote_code,
        revision=arguments.revision,
        model_kwargs=model_kwargs,
        processor_kwargs=processor_kwargs,
        prompts=arguments.prompts,
        default_prompt_name=arguments.default_prompt_name or None,
    )


def _exchange_transformer(model: Any, file: Path) -> None:
    from gpt_server.services.embed.engines.sentence_transformers.onnx import OnnxTransformer

    first = model[0]
    exported = OnnxTransformer(file, first.model, torch.get_num_threads())
    first.model_forward_params = {*inspect.signature(first.model.forward).parameters}
    first.model = exported


def _kind(config: EngineConfig, arguments: Arguments) -> Kind:
    """Returns what the model's files say it is for."""
    said = _json_file(config.model, "config_sentence_transformers.json", arguments.revision)
    is_library_format = _json_file(config.model, "modules.json", arguments.revision) is not None
    is_cross = isinstance(said, dict) and said.get("model_type") == "CrossEncoder"
    if is_library_format and not is_cross:
        return "embedding"
    described = AutoConfig.from_pretrained(
        config.model, revision=arguments.revision, trust_remote_code=arguments.trust_remote_code
    )
    architecture = next(iter(described.architectures or ()), "")
    if architecture.endswith("ForSequenceClassification"):
        return "rerank" if described.num_labels == 1 else "classification"
    # A causal model in a service of vectors and scores is a reranker that answers yes or no.
    return "rerank" if is_cross or architecture.endswith("ForCausalLM") else "embedding"


def _json_file(model: str, name: str, revision: str | None) -> Any:
    found = cached_file(
        model,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return json.loads(Path(found).read_text(encoding="utf-8")) if found else None


def _details(model: Any, kind: Kind, arguments: Arguments) -> ModelDetails:
    capabilities: set[Capability] = {kind}
    if any("image" in str(modality) for modality in model.modalities):
        capabilities.add("image_input")
    prompts = {name: text for name, text in (model.prompts or {}).items() if text is not None}
    dimensions = model.get_embedding_dimension() if kind == "embedding" else None
    return ModelDetails(
        max_context_tokens=_max_tokens(model, arguments),
        capabilities=frozenset(capabilities),
        dimensions=dimensions,
        matryoshka_dimensions=_matryoshka(model, arguments, dimensions),
        prompts=prompts,
        default_prompt_name="" if arguments.default_prompt_name == "" else model.default_prompt_name or "",
        labels=_labels(model) if kind == "classification" else (),
        activation=arguments.activation or _activation(model, kind),
    )


def _max_tokens(model: Any, arguments: Arguments) -> int:
    own = model.max_seq_length
    wanted = arguments.max_context_tokens
    window = getattr(model.config.get_text_config(), "max_position_embeddings", None) if model.config else None
    if own is None or own > 10**6:  # a tokeniser that knows no limit says 1e30
        own = window or DEFAULT_MAX_TOKENS
    if wanted is not None and window is not None and wanted > window:
        raise RuntimeError(f"engine_args.max_context_tokens is {wanted}, the model's window has {window}")
    return int(wanted or own)


def _matryoshka(model: Any, arguments: Arguments, dimensions: int | None) -> tuple[int, ...]:
    said = arguments.matryoshka_dimensions
    if said is None and model.config is not None:
        said = getattr(model.config, "matryoshka_dimensions", None)
    return tuple(length for length in said or () if dimensions is not None and 0 < length < dimensions)


def _labels(model: Any) -> tuple[str, ...]:
    names: Mapping[int, str] = model.config.id2label
    return tuple(names[number] for number in sorted(names))


def _activation(model: Any, kind: Kind) -> Activation:
    if kind == "embedding":
        return "none"
    if kind == "rerank":
        return "sigmoid"
    several = getattr(model.config, "problem_type", None) == "multi_label_classification"
    return "sigmoid" if several or model.config.num_labels == 1 else "softmax"
