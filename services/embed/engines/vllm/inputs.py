"""From inputs and pairs to tokens, as vLLM's own server makes them. Runs in one thread: tokenisers cannot be shared."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vllm import PoolingParams, TokensPrompt
from vllm.entrypoints.pooling.scoring.utils import compress_token_type_ids

from gpt_server.services.common.errors import ContextLengthExceeded, InvalidField, UnsupportedFeature
from gpt_server.services.embed.compare import sides_of
from gpt_server.services.embed.engine import Input, InputOptions, Pair, Task, TokenizeRequest, Tokens
from gpt_server.services.embed.engines.vllm.model import LoadedModel


@dataclass(frozen=True, slots=True)
class PoolingInput:
    """An input as vLLM's engine takes it."""

    tokens: int
    engine_input: Any
    params: PoolingParams


class Inputs:
    """Makes tokens for one model."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._tokenizer = model.llm.renderer.get_tokenizer()

    def of(self, task: Task) -> tuple[Sequence[PoolingInput], Sequence[tuple[int, int]] | None]:
        """Returns all items, or both sides of all pairs and the two of each.

        Raises:
            InvalidField, UnsupportedFeature, ContextLengthExceeded: naming the item.
        """
        return sides_of(task, self._model.details, self._items) if self._model.compares else (self._items(task), None)

    def tokens(self, request: TokenizeRequest) -> Tokens:
        """Returns what the model's tokeniser makes of a text."""
        ids = self._encode(request.text, add_special_tokens=request.add_special_tokens is not False)
        return Tokens(ids, self._tokenizer.convert_ids_to_tokens(ids) if request.return_token_strings else ())

    def _items(self, task: Task) -> Sequence[PoolingInput]:
        return [self._item(item, task.options, path) for item, path in zip(task.items, task.paths, strict=True)]

    def _item(self, item: Input | Pair, options: InputOptions, path: str) -> PoolingInput:
        model = self._model
        if isinstance(item, Pair):
            prompt = self._pair(item, options, path)
        else:
            prompt = TokensPrompt(prompt_token_ids=self._ids(item, options, path))
        ids = prompt["prompt_token_ids"]
        limit = model.details.most_tokens(options)
        if len(ids) > limit:
            if options.truncate_prompt_tokens is None:
                raise ContextLengthExceeded(model.details.max_context_tokens, len(ids), field=path)
            prompt["prompt_token_ids"] = ids[:limit]
        # What is done to the numbers is the service's: vLLM gives them raw.
        params = PoolingParams(task=model.pooling_task, use_activation=False)
        if types := prompt.pop("token_type_ids", None):
            params.extra_kwargs = {"compressed_token_type_ids": compress_token_type_ids(types)}
        engine_input = model.llm.renderer.process_for_engine(prompt, time.time())
        return PoolingInput(len(prompt["prompt_token_ids"]), engine_input, params)

    def _ids(self, item: Input, options: InputOptions, path: str) -> list[int]:
        if item.token_ids is not None:
            size = self._model.llm.model_config.get_vocab_size()
            if (highest := max(item.token_ids)) >= size:
                raise InvalidField(f"{path}.token_ids.ids", f"must be below the vocabulary's {size}; got {highest}")
            return list(item.token_ids)
        text = self._model.details.prompt_of(options) + _text(item, path)
        return self._encode(text, **self._cut(options))

    def _pair(self, pair: Pair, options: InputOptions, path: str) -> Any:
        if options.prompt or options.prompt_name:
            raise UnsupportedFeature("options.prompt", "not for pairs that vLLM looks at together")
        assert self._model.pairs is not None  # noqa: S101 (checks let pairs through for rerankers alone)
        sides = (_text(pair.first, path), _text(pair.second, path))
        pairs = self._model.pairs
        cut = self._cut(options)
        return pairs.get_score_prompt(*sides, encode_kwargs=cut, chat_template=pairs.chat_template)[1]

    def _cut(self, options: InputOptions) -> dict[str, Any]:
        """Returns how the tokeniser cuts, which keeps the special tokens at the end; nothing is cut unasked."""
        if options.truncate_prompt_tokens is None:
            return {"truncation": False}
        return {"truncation": "longest_first", "max_length": self._model.details.most_tokens(options)}

    def _encode(self, text: str, **options: Any) -> list[int]:
        ids: list[int] = self._tokenizer(text, **options)["input_ids"]
        return ids


def _text(item: Input, path: str) -> str:
    if item.token_ids is not None:
        raise UnsupportedFeature(path, "pairs are made of texts; token ids are not supported")
    return item.text if item.text is not None else "\n".join(part.text or "" for part in item.parts or ())
