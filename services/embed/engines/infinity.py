"""`EmbedEngine` over infinity's `AsyncEngineArray`: its threads, its batches, its models; text alone.

infinity cuts what is too long without a word and counts tokens in a way of its own, so the texts are counted here, with
the model's tokeniser, before it sees them. Who leaves is forgotten, but what infinity has queued of it is computed.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from pydantic import BaseModel, ConfigDict

from gpt_server.services.common.arguments import LibraryArguments, argument_types
from gpt_server.services.common.errors import ContextLengthExceeded, EngineUnavailable, UnsupportedFeature
from gpt_server.services.common.source import check_model
from gpt_server.services.embed.engine import (
    Activation,
    Capability,
    Computed,
    EmbedEngine,
    EngineConfig,
    Input,
    ModelDetails,
    Pair,
    Prepared,
    Problem,
    Rows,
    Task,
    Timings,
    TokenizeRequest,
    Tokens,
)

if TYPE_CHECKING:
    from infinity_emb import AsyncEmbeddingEngine

#: A service tells nobody outside what it runs; infinity reads it when it is imported.
os.environ["DO_NOT_TRACK"] = "1"

ELSEWHERE: Mapping[str, str] = {
    "model_name_or_path": "set `model` of the entry",
    "served_model_name": "set `names` of the entry",
    "embedding_dtype": "callers ask for the format of their vectors",
    "vector_disk_cache_path": "there is no cache",
    "_loading_strategy": "infinity makes it itself",
}
#: What differs from infinity's own defaults: no code of the model's runs unasked, and nothing that needs optimum, which
#: current releases of transformers have left behind.
DEFAULTS: Mapping[str, Any] = {"trust_remote_code": False, "bettertransformer": False, "model_warmup": False}
CAPABILITIES: Mapping[str, Capability] = {"embed": "embedding", "rerank": "rerank", "classify": "classification"}
#: Probabilities below are taken for it where their logarithm is told.
SMALLEST = 1e-30
DEFAULT_MAX_TOKENS = 512


class OwnArguments(BaseModel):
    """What infinity has no argument for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: Prompts by name.
    prompts: dict[str, str] | None = None
    #: The prompt that is used when none is asked for.
    default_prompt_name: str | None = None
    #: Shorter lengths of vectors that the model was trained for.
    matryoshka_dimensions: list[int] | None = None


@dataclass(slots=True)
class PreparedTexts(Prepared):
    """A task as infinity takes it: texts, or pairs of query and document."""

    items: Sequence[Any]


class InfinityEngine(EmbedEngine):
    """See `EmbedEngine`. `engine_args`: infinity's `EngineArgs`, and `OwnArguments`."""

    name: ClassVar[str] = "infinity"

    _model: "AsyncEmbeddingEngine"
    _tokenizer: Any
    details: ModelDetails

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._running = False

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration. Imports infinity: many seconds."""
        problems = [*check_model(config.model, ["config.json"]), *_arguments().check(config.engine_args)]
        if config.adapters:
            problems.append(Problem("adapters", "adapters are not supported by the infinity engine"))
        return problems

    async def start(self) -> ModelDetails:
        """Loads the model in a thread and starts infinity's own."""
        await asyncio.to_thread(self._load)
        await self._model.astart()
        self._running = True
        return self.details

    async def close(self) -> None:
        """Ends all threads."""
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        if self._running:
            self._running = False
            await self._model.astop()

    async def prepare(self, task: Task) -> PreparedTexts:
        """Counts tokens, and refuses what is too long."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._texts, task)

    async def compute(self, prepared: Prepared) -> Computed:
        """Lets infinity put the texts into its batches. How long they waited there it does not say."""
        if not self._running:
            raise EngineUnavailable("the engine is closed")
        items, began_s = cast("PreparedTexts", prepared).items, time.monotonic()
        if "embedding" in self.details.capabilities:
            vectors, _ = await self._model.embed(sentences=list(items))
            rows = np.stack([np.asarray(vector, dtype=np.float32) for vector in vectors])
        else:
            rows = await (self._scores(items) if "rerank" in self.details.capabilities else self._labels(items))
        return Computed(rows, Timings(compute_s=time.monotonic() - began_s))

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        """Asks the model's tokeniser."""
        special = request.add_special_tokens is not False
        ids = await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._ids, request.text, None, special)
        return Tokens(ids, self._tokenizer.convert_ids_to_tokens(ids) if request.return_token_strings else ())

    def _load(self) -> None:
        handlers = [*logging.getLogger().handlers]
        from infinity_emb import AsyncEngineArray, EngineArgs
        from transformers import AutoConfig, AutoTokenizer

        logging.getLogger().handlers[:] = handlers  # infinity exchanges the process's for its own
        device = "cuda" if self.config.gpus else "cpu"
        given = _arguments().of_library(self.config.engine_args, {**DEFAULTS, "device": device})
        args = EngineArgs(model_name_or_path=self.config.model, served_model_name="model", **given)
        self._model = AsyncEngineArray.from_args([args])["model"]
        known = {"revision": args.revision, "trust_remote_code": args.trust_remote_code}
        self._tokenizer = AutoTokenizer.from_pretrained(self.config.model, **known)
        described = AutoConfig.from_pretrained(self.config.model, **known)
        own: OwnArguments = _arguments().of_engine(self.config.engine_args)
        replicas = self._model._model_replicas
        self.details = _details(self._model.capabilities, replicas[0], described, self._tokenizer, own)
        for replica in replicas:
            replica.normalize_embeddings = False  # that is the service's
            if tokenizer := getattr(replica, "tokenizer", None):
                tokenizer.model_max_length = self.details.max_context_tokens  # else it cuts nothing, or elsewhere

    def _texts(self, task: Task) -> PreparedTexts:
        if task.options.truncate_prompt_tokens not in (None, -1, self.details.max_context_tokens):
            raise UnsupportedFeature("options.truncate_prompt_tokens", "infinity cuts at the model's window: -1")
        items = [self._content(item, task, path) for item, path in zip(task.items, task.paths, strict=True)]
        limit, tokens = self.details.max_context_tokens, 0
        for item, path in zip(items, task.paths, strict=True):
            count = len(self._ids(*item) if isinstance(item, tuple) else self._ids(item))
            if count > limit and task.options.truncate_prompt_tokens is None:
                raise ContextLengthExceeded(limit, count, field=path)
            tokens += min(count, limit)
        return PreparedTexts(tokens, items)

    def _content(self, item: Input | Pair, task: Task, path: str) -> Any:
        if isinstance(item, Pair):
            if task.options.prompt or task.options.prompt_name:
                raise UnsupportedFeature("options.prompt", "not for pairs that are looked at together")
            return (_text(item.first, path), _text(item.second, path))
        return self.details.prompt_of(task.options) + _text(item, path)

    def _ids(self, text: str, second: str | None = None, special: bool = True) -> list[int]:
        ids: list[int] = self._tokenizer(text, second, add_special_tokens=special, truncation=False)["input_ids"]
        return ids

    async def _scores(self, pairs: Sequence[tuple[str, str]]) -> Rows:
        rows = np.zeros((len(pairs), 1), np.float32)

        async def score(query: str) -> None:
            places = [place for place, (first, _) in enumerate(pairs) if first == query]
            documents = [pairs[place][1] for place in places]
            found, _ = await self._model.rerank(query=query, docs=documents, raw_scores=True)
            for one in found:
                rows[places[one.index], 0] = one.relevance_score

        await asyncio.gather(*(score(query) for query in dict.fromkeys(first for first, _ in pairs)))
        return rows

    async def _labels(self, texts: Sequence[str]) -> Rows:
        """Returns logarithms: infinity tells probabilities alone, and these make the same of them."""
        found, _ = await self._model.classify(sentences=list(texts))
        scores = [{one["label"]: one["score"] for one in row} for row in found]
        rows = np.array([[row[label] for label in self.details.labels] for row in scores], np.float32)
        rows = np.maximum(rows, SMALLEST)
        return np.log(rows) if self.details.activation == "softmax" else np.log(rows / np.maximum(1 - rows, SMALLEST))


def _arguments() -> LibraryArguments:
    handlers = [*logging.getLogger().handlers]
    from infinity_emb.args import EngineArgs

    logging.getLogger().handlers[:] = handlers
    return LibraryArguments("infinity", argument_types(EngineArgs), OwnArguments, ELSEWHERE)


def _details(capabilities: set[str], replica: Any, described: Any, tokenizer: Any, own: OwnArguments) -> ModelDetails:
    kind = next((ours for theirs, ours in CAPABILITIES.items() if theirs in capabilities), None)
    if kind is None:
        raise RuntimeError(f"infinity runs this model for {', '.join(capabilities)}; texts are supported")
    several = described.problem_type == "multi_label_classification"
    activations: Mapping[Capability, Activation] = {
        "rerank": "sigmoid",
        "classification": "sigmoid" if several else "softmax",
    }
    names: Mapping[int, str] = described.id2label
    limits = (getattr(replica, "max_seq_length", None), tokenizer.model_max_length, described.max_position_embeddings)
    return ModelDetails(
        max_context_tokens=min([limit for limit in limits if limit and limit < 10**6] or [DEFAULT_MAX_TOKENS]),
        capabilities=frozenset({kind}),
        dimensions=replica.get_sentence_embedding_dimension() if kind == "embedding" else None,
        matryoshka_dimensions=tuple(own.matryoshka_dimensions or ()),
        prompts=(getattr(replica, "prompts", None) or {}) if own.prompts is None else own.prompts,
        default_prompt_name=own.default_prompt_name or "",
        labels=tuple(names[number] for number in sorted(names)) if kind == "classification" else (),
        activation=activations.get(kind, "none"),
    )


def _text(item: Input, path: str) -> str:
    if item.token_ids is not None:
        raise UnsupportedFeature(path, "infinity takes texts; token ids are not supported")
    return item.text if item.text is not None else "\n".join(part.text or "" for part in item.parts or ())
