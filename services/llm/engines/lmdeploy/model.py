"""Loading: a configuration becomes LMDeploy's engine, and what has to be known of the model."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmdeploy.archs import get_task
from PIL import ImageFile

from gpt_server.services.llm.engine import EngineConfig, ModelDetails, Sampling
from gpt_server.services.llm.engines.lmdeploy import parsers
from gpt_server.services.llm.engines.lmdeploy.adapters import readable
from gpt_server.services.llm.engines.lmdeploy.arguments import (
    Backend,
    LMDeployArguments,
    engine_arguments,
    serving_arguments,
)
from gpt_server.services.llm.engines.lmdeploy.embedded import Embedded
from gpt_server.services.llm.grammar import CallForm, call_form
from gpt_server.services.llm.parsing import TOOL_PARSERS, guess_reasoning_parser, guess_tool_parser
from gpt_server.services.llm.source import capabilities
from gpt_server.services.llm.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that LMDeploy runs.

    Attributes:
        embedded: the engine.
        backend: which one.
        tokenizer: of transformers.
        pictures: LMDeploy's preprocessing of a prompt with pictures; `None`: the model takes none.
        max_pictures: how many a prompt may have; `None`: any number.
        details: what the model is.
        vocabulary: its tokens.
        hidden: special tokens that leave no text, those excepted that parsers look for.
        padding: the token that fills the rows of a batch up.
        caches: whether prompts are kept for later requests.
        reasoning_parser: a name of ours, or `None`.
        tool_parser: a name of ours or of LMDeploy's, or `None`.
        call_form: how calls are written; `None`: they cannot be enforced.
    """

    embedded: Embedded
    backend: Backend
    tokenizer: Any
    pictures: Callable[..., Mapping[str, Any]] | None
    max_pictures: int | None
    details: ModelDetails
    vocabulary: Vocabulary
    hidden: frozenset[int]
    padding: int
    caches: bool
    reasoning_parser: str | None
    tool_parser: str | None
    call_form: CallForm | None


async def load(config: EngineConfig, died: Callable[[], None]) -> LoadedModel:
    """Starts LMDeploy with everything that `config` names. Takes a minute; raises what LMDeploy raises."""
    embedded = Embedded(died)
    try:
        await embedded.start(lambda: _engine(config))
    except BaseException:
        await embedded.close()
        raise
    return _described(embedded, serving_arguments(config))


def _engine(config: EngineConfig) -> Any:
    serving, arguments = serving_arguments(config), engine_arguments(config)
    trust = serving.trust_remote_code
    try:
        _, kind = get_task(serving.backend, config.model, trust, arguments)
        with readable(config.adapters) as folders:
            if folders:
                arguments.adapters = folders
            return kind(config.model, backend=serving.backend, backend_config=arguments, trust_remote_code=trust)
    except SystemExit as error:  # its way to say that there is no GPU, or that a package is missing
        raise RuntimeError("LMDeploy cannot run here; its reason stands in the log") from error


def _described(embedded: Embedded, serving: LMDeployArguments) -> LoadedModel:
    engine = embedded.engine
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # LMDeploy lets pictures be cut off, of everyone in the process
    tokenizer = engine.tokenizer.model.model
    encoder = getattr(engine, "vl_encoder", None)
    template = _chat_template(tokenizer, encoder, serving)
    reasoning = serving.reasoning_parser or guess_reasoning_parser(template)
    calls = serving.tool_parser or guess_tool_parser(template)
    reasoning, calls = (None if name == "none" or not template else name for name in (reasoning, calls))
    size = _vocab_size(engine, tokenizer)
    vocabulary = Vocabulary.of(tokenizer, size)
    sees = encoder is not None and encoder._uses_new_preprocess
    details = ModelDetails(
        max_context_tokens=getattr(engine.engine, "max_session_len", engine.session_len),
        vocab_size=size,
        eos_token_ids=_eos_ids(engine),
        capabilities=capabilities(chats=bool(template), reasons=bool(reasoning), calls=bool(calls), sees=sees),
        default_sampling=_default_sampling(engine.hf_gen_cfg),
        chat_template=template,
    )
    return LoadedModel(
        embedded=embedded,
        backend=serving.backend,
        tokenizer=tokenizer,
        pictures=encoder.model.preprocess if encoder is not None and sees else None,
        max_pictures=serving.max_images,
        details=details,
        vocabulary=vocabulary,
        hidden=frozenset(_hidden(vocabulary, reasoning, calls)),
        padding=_padding(engine),
        caches=bool(engine.backend_config.enable_prefix_caching),
        reasoning_parser=reasoning,
        tool_parser=calls,
        call_form=call_form(TOOL_PARSERS[calls]) if calls and calls in TOOL_PARSERS else None,
    )


def _chat_template(tokenizer: Any, encoder: Any, serving: LMDeployArguments) -> str:
    if serving.chat_template:
        return Path(serving.chat_template).read_text(encoding="utf-8")
    processor = getattr(getattr(encoder, "model", None), "processor", None)
    template = getattr(tokenizer, "chat_template", None) or getattr(processor, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()))
    return template or ""


def _vocab_size(engine: Any, tokenizer: Any) -> int:
    text = engine.hf_cfg.get_text_config()
    return int(getattr(text, "vocab_size", None) or len(tokenizer))


def _padding(engine: Any) -> int:
    """Returns the token that the pytorch backend pads with: what it takes for the one that begins texts."""
    known = getattr(engine.engine, "model_config", None)
    return int(getattr(known, "bos_token_id", None) or 0)


def _hidden(vocabulary: Vocabulary, reasoning: str | None, calls: str | None) -> Set[int]:
    shown = parsers.shown(reasoning, calls)
    return {token for token, text in vocabulary.specials.items() if not any(text in mark for mark in shown)}


def _eos_ids(engine: Any) -> tuple[int, ...]:
    said = engine.hf_gen_cfg.get("eos_token_id")
    found = said if isinstance(said, list) else [said, engine.tokenizer.eos_token_id]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _default_sampling(said: Mapping[str, Any]) -> Sampling:
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    return Sampling(**{name: said[name] for name in names if said.get(name) is not None})
