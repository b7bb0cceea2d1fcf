"""From inputs to what the model takes, by the library's own preprocessing; and from many of those to one batch.

Inputs of text become token ids here, once, and are padded when a pass is put together. An input with a picture is
whole when it leaves here: it shares a pass with those whose tensors have the same shape, or runs alone.
"""

import io
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from gpt_server.services.common.errors import (
    ContextLengthExceeded,
    InvalidField,
    InvalidMedia,
    UnsupportedFeature,
)
from gpt_server.services.embed.engine import Input, Pair, Task
from gpt_server.services.embed.engines.sentence_transformers.model import LoadedModel

PADDED = ("input_ids", "attention_mask", "token_type_ids")
_UNPADDED = {"text": {"padding": False, "truncation": False}, "common": {"return_tensors": None}}


@dataclass(frozen=True, slots=True)
class Features:
    """An input as the model takes it: lists to be padded, or tensors of a batch of one. `same`: of the whole batch.
    `alone`: its tensors are no batch, so there is no adding others.
    """

    tokens: int
    own: dict[str, Any]
    same: dict[str, Any]
    alone: bool = False

    @property
    def group(self) -> Hashable:
        """Only inputs whose batch-wide values are equal can share a pass."""
        if self.alone:
            return None
        shapes = tuple((name, tuple(getattr(value, "shape", ())[1:])) for name, value in sorted(self.own.items()))
        return (shapes, tuple(sorted(self.same.items())))


def features_of(loaded: LoadedModel, task: Task) -> list[Features]:
    """Returns the features of all items. Runs in one thread: tokenisers cannot be shared.

    Raises:
        InvalidField, UnsupportedFeature, ContextLengthExceeded, InvalidMedia: naming the item.
    """
    contents = [_content(item, path) for item, path in zip(task.items, task.paths, strict=True)]
    plain = [i for i, content in enumerate(contents) if _is_text(content)]
    found: dict[int, Features] = {}
    if plain:
        texts = _texts(loaded, [contents[i] for i in plain], task, [task.paths[i] for i in plain])
        found |= zip(plain, texts, strict=True)
    for i, content in enumerate(contents):
        if i not in found:
            found[i] = (
                _ids(loaded, content, task, task.paths[i])
                if isinstance(content, np.ndarray)
                else _media(loaded, content, task, task.paths[i])
            )
    return [found[i] for i in range(len(contents))]


def batch_of(loaded: LoadedModel, items: Sequence[Features]) -> dict[str, Any]:
    """Returns one batch: padded on the side that the model wants."""
    if any(isinstance(value, torch.Tensor) for value in items[0].own.values()):
        whole = {name: torch.cat([item.own[name] for item in items]) for name in items[0].own}
        return {**items[0].same, **whole}
    tokenizer = loaded.model.tokenizer
    left = tokenizer.padding_side == "left"
    fills = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
    width = max(item.tokens for item in items)
    batch: dict[str, Any] = dict(items[0].same)
    for name in items[0].own:
        rows = np.full((len(items), width), fills.get(name, 0), dtype=np.int64)
        for row, item in zip(rows, items, strict=True):
            row[width - item.tokens :] = item.own[name] if left else row[width - item.tokens :]
            if not left:
                row[: item.tokens] = item.own[name]
        batch[name] = torch.from_numpy(rows)
    return batch


def _is_text(content: Any) -> bool:
    return isinstance(content, str) or (isinstance(content, tuple) and all(isinstance(side, str) for side in content))


def _texts(loaded: LoadedModel, texts: list[Any], task: Task, paths: Sequence[str]) -> Iterator[Features]:
    prompt, cut = loaded.details.prompt_of(task.options) or None, loaded.details.most_tokens(task.options)
    made = loaded.model.preprocess(texts, prompt=prompt, processing_kwargs=_UNPADDED)
    longest = max(map(len, made["input_ids"]))
    if longest > loaded.details.max_context_tokens and task.options.truncate_prompt_tokens is None:
        i = next(i for i, ids in enumerate(made["input_ids"]) if len(ids) > loaded.details.max_context_tokens)
        raise ContextLengthExceeded(loaded.details.max_context_tokens, len(made["input_ids"][i]), field=paths[i])
    if longest > cut:
        truncated = {"text": {"padding": False, "truncation": "longest_first", "max_length": cut}}
        made = loaded.model.preprocess(texts, prompt=prompt, processing_kwargs=_UNPADDED | truncated)
    same = {name: value for name, value in made.items() if name not in PADDED}
    for i, ids in enumerate(made["input_ids"]):
        own = {name: made[name][i] for name in PADDED if name in made}
        yield Features(len(ids), own, same)


def _ids(loaded: LoadedModel, ids: Any, task: Task, path: str) -> Features:
    size = loaded.model.config.get_text_config().vocab_size
    if (highest := int(ids.max())) >= size:
        raise InvalidField(f"{path}.token_ids.ids", f"must be below the vocabulary's {size}; got {highest}")
    if len(ids) > loaded.details.max_context_tokens and task.options.truncate_prompt_tokens is None:
        raise ContextLengthExceeded(loaded.details.max_context_tokens, len(ids), field=path)
    kept = ids[: loaded.details.most_tokens(task.options)]
    own = {"input_ids": kept, "attention_mask": np.ones_like(kept)}
    if "token_type_ids" in loaded.model.tokenizer.model_input_names:
        own["token_type_ids"] = np.zeros_like(kept)
    same = {"modality": "text"} if "message" not in loaded.model.modalities else {"modality": "message"}
    return Features(len(kept), own, same)


def _media(loaded: LoadedModel, content: Any, task: Task, path: str) -> Features:
    if task.options.truncate_prompt_tokens is not None:
        raise UnsupportedFeature("options.truncate_prompt_tokens", "inputs with pictures are not cut")
    try:
        made = loaded.model.preprocess(
            [content],
            prompt=loaded.details.prompt_of(task.options) or None,
            processing_kwargs={"text": {"truncation": False}},
        )
    except (ValueError, TypeError) as error:
        raise UnsupportedFeature(path, f"the model does not take this mixture of text and pictures: {error}") from None
    ids = made.get("input_ids")
    tokens = int(ids.shape[1]) if ids is not None else 1
    if tokens > loaded.details.max_context_tokens:
        raise ContextLengthExceeded(loaded.details.max_context_tokens, tokens, field=path)
    own = {name: value for name, value in made.items() if isinstance(value, torch.Tensor)}
    same = {name: value for name, value in made.items() if name not in own}
    is_batch = all(value.shape[0] == 1 for value in own.values()) and all(map(_is_plain, same.values()))
    return Features(tokens, own, same, alone=not is_batch)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | tuple)


def _content(item: Input | Pair, path: str) -> Any:
    """Returns an item as the library takes it: a text, a picture, a dict of both, token ids; a pair as two of them."""
    if isinstance(item, Pair):
        pair = (_side(item.first, path), _side(item.second, path))
        if any(isinstance(side, np.ndarray) for side in pair):
            raise UnsupportedFeature(path, "pairs are made of texts and pictures; token ids are not supported")
        return pair
    return _side(item, path)


def _side(given: Input, path: str) -> Any:
    if given.text is not None:
        return given.text
    if given.token_ids is not None:
        return np.array(given.token_ids, dtype=np.int64)
    texts = [part.text for part in given.parts or () if part.text is not None]
    pictures = [
        _picture(part.image.media.content, f"{path}.parts.parts[{i}].image")
        for i, part in enumerate(given.parts or ())
        if part.image is not None
    ]
    if len(pictures) > 1:
        raise UnsupportedFeature(path, "one picture in an input is supported")
    text = "\n".join(texts)
    if not pictures:
        return text
    return {"text": text, "image": pictures[0]} if text else pictures[0]


def _picture(content: bytes, path: str) -> Any:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InvalidMedia(path, f"not a picture that can be decoded: {error}") from None
