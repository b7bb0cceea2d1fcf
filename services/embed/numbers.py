"""What is done to an engine's rows of numbers, the same for every engine: lengths, formats, scores between 0 and 1."""

import numpy as np

from gpt_server.services.embed.engine import Activation, Rows, VectorFormat


def vectors(rows: Rows, dimensions: int | None, normalize: bool) -> Rows:
    """Returns vectors, shortened to their first `dimensions` numbers, then scaled to length 1 (0 stays 0)."""
    shortened = rows[:, :dimensions]
    if not normalize:
        return shortened
    lengths = np.linalg.norm(shortened, axis=1, keepdims=True)
    scaled: Rows = (shortened / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def pack(rows: Rows, form: VectorFormat) -> tuple[bytes, int]:
    """Returns rows as bytes, and how many bytes one row has; see `VectorFormat` of the proto."""
    if form == "int8":
        packed = np.clip(np.rint(rows * 127), -127, 127).astype(np.int8)
    elif form == "binary":
        packed = np.packbits(rows > 0, axis=1).view(np.int8)
    else:
        packed = np.ascontiguousarray(rows, dtype="<f4").view(np.int8)
    return packed.tobytes(), packed.shape[1]


def activated(rows: Rows, activation: Activation, raw: bool) -> Rows:
    """Returns scores between 0 and 1, unless `raw`. Of `none`, the model's numbers are such already."""
    if raw or activation == "none":
        return rows
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(rows, -80, 80))), dtype=np.float32)
    if activation == "cosine":
        return np.asarray((1 + rows) / 2, dtype=np.float32)
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def best_first(scores: Rows, top_n: int | None) -> list[int]:
    """Returns the places of the best scores, best first; equal ones in their order, NaN last."""
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    return [int(place) for place in order[:top_n]]
