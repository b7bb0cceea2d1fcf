"""Loading: a configuration becomes vLLM's engine, its preparation of pairs, and what has to be known of the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.pooling.scoring.io_processor import CrossEncoderIOProcessor
from vllm.renderers.chat_utils import ChatTemplateConfig
from vllm.transformers_utils.repo_utils import get_hf_file_to_dict
from vllm.v1.engine.async_llm import AsyncLLM

from gpt_server.services.embed.engine import Activation, Capability, EngineConfig, ModelDetails
from gpt_server.services.embed.engines.vllm.arguments import OwnArguments, engine_arguments, own_arguments


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that vLLM runs.

    Attributes:
        llm: the engine.
        details: what the model is.
        pooling_task: vLLM's name of what is computed: `embed` or `classify`.
        pairs: vLLM's own preparation of query and document; `None` if the model takes no pairs.
        compares: whether it makes vectors and is to score pairs by their cosine.
    """

    llm: AsyncLLM
    details: ModelDetails
    pooling_task: str
    pairs: CrossEncoderIOProcessor | None
    compares: bool


def start_vllm(config: EngineConfig) -> AsyncLLM:
    """Starts vLLM. Takes a minute; raises what vLLM raises."""
    return AsyncLLM.from_engine_args(AsyncEngineArgs(model=config.model, **engine_arguments(config)))


async def described(llm: AsyncLLM, config: EngineConfig) -> LoadedModel:
    """Returns what a running vLLM has loaded.

    Raises:
        RuntimeError: it does not do what `engine_args.task` wants.
    """
    own = own_arguments(config)
    pooling_task = llm.model_config.get_pooling_task(await llm.get_supported_tasks())
    kind = _kind(llm, pooling_task)
    wanted = kind if own.task == "auto" else own.task
    compares = wanted == "rerank" and kind == "embedding"
    if wanted != kind and not compares:
        raise RuntimeError(f"engine_args.task is {wanted}; vLLM runs this model for {kind}")
    details = _details(llm, wanted, "cosine" if compares else own.activation or _activation(llm, kind), own)
    return LoadedModel(llm, details, str(pooling_task), _pairs(llm, own) if kind == "rerank" else None, compares)


def _kind(llm: AsyncLLM, pooling_task: str | None) -> Capability:
    if pooling_task == "embed":
        return "embedding"
    if pooling_task != "classify":
        raise RuntimeError(f"vLLM runs this model for {pooling_task}; embed and classify are supported")
    return "rerank" if llm.model_config.hf_config.num_labels == 1 else "classification"


def _pairs(llm: AsyncLLM, own: OwnArguments) -> CrossEncoderIOProcessor:
    template = Path(own.chat_template).read_text(encoding="utf-8") if own.chat_template else None
    return CrossEncoderIOProcessor(llm.vllm_config, llm.renderer, ChatTemplateConfig(template))


def _details(llm: AsyncLLM, kind: Capability, activation: Activation, own: OwnArguments) -> ModelDetails:
    model = llm.model_config
    said = get_hf_file_to_dict("config_sentence_transformers.json", model.model, model.revision) or {}
    prompts = (said.get("prompts") or {}) if own.prompts is None else own.prompts
    default = said.get("default_prompt_name") if own.default_prompt_name is None else own.default_prompt_name
    dimensions = model.embedding_size if kind == "embedding" else None
    lengths = own.matryoshka_dimensions or model.matryoshka_dimensions or ()
    names: Any = model.hf_config.id2label
    return ModelDetails(
        max_context_tokens=model.max_model_len,
        capabilities=frozenset({kind}),
        dimensions=dimensions,
        matryoshka_dimensions=tuple(length for length in lengths if dimensions and 0 < length < dimensions),
        prompts={name: text for name, text in prompts.items() if text is not None},
        default_prompt_name=default or "",
        labels=tuple(names[number] for number in sorted(names)) if kind == "classification" else (),
        activation=activation,
    )


def _activation(llm: AsyncLLM, kind: Capability) -> Activation:
    several = getattr(llm.model_config.hf_config, "problem_type", None) == "multi_label_classification"
    return {"embedding": "none", "rerank": "sigmoid"}.get(kind) or ("sigmoid" if several else "softmax")  # type: ignore[return-value]
