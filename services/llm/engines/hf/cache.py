"""Keys and values of all rows that decode together, behind transformers' own cache interface.

All rows end at the same column and begin where their length says: left-padded, as transformers' attention masks
and sliding windows expect. A step writes one column for all rows; nothing is copied but when a row joins or leaves,
or when the columns are used up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

Pair = tuple[torch.Tensor, torch.Tensor]

_SPARE_COLUMNS = 128


@dataclass(slots=True)
class _Used:
    """How many rows and columns are in use, in every layer."""

    rows: int = 0
    width: int = 0


class _Layer(CacheLayerMixin):
    """The buffers of one layer, each `rows x heads x columns x head_dim`; what is in use ends at column `_end`."""

    def __init__(self, used: _Used, like: Pair) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._used = used
        self._end = 0
        self._buffers: Pair = (like[0][:0], like[1][:0])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes one column and returns all that is in use, the new column included."""
        self.write(0, (key_states, value_states), self._end)
        self._end += 1
        rows, columns = slice(self._used.rows), slice(self._end - self._used.width - 1, self._end)
        keys, values = self._buffers
        return keys[rows, :, columns], values[rows, :, columns]

    def write(self, first: int, states: Pair, column: int | None = None) -> None:
        """Writes states to the rows from `first` on: to a column, or to the last ones in use."""
        start = self._end - states[0].shape[2] if column is None else column
        for buffer, state in zip(self._buffers, states, strict=True):
            buffer[first : self._used.rows, :, start : start + state.shape[2]] = state

    def copy_row(self, source: int, target: int) -> None:
        """Copies one row over another."""
        columns = slice(self._end - self._used.width, self._end)
        for buffer in self._buffers:
            buffer[target, :, columns] = buffer[source, :, columns]

    def reserve(self, rows: int, width: int, more: int) -> None:
        """Makes room for so many rows and columns in use, and for `more` columns behind them."""
        capacity, _, columns, _ = self._buffers[0].shape
        if rows <= capacity and width <= self._end <= columns - more:
            return
        capacity = max(capacity, 1 << (rows - 1).bit_length())
        columns = width + max(_SPARE_COLUMNS, width // 2)
        keys, values = self._buffers
        self._buffers = self._moved(keys, capacity, columns, width), self._moved(values, capacity, columns, width)
        self._end = width

    def _moved(self, old: torch.Tensor, rows: int, columns: int, end: int) -> torch.Tensor:
        # Zeros, not whatever is there: a masked NaN would still spoil the sum.
        new = old.new_zeros(rows, old.shape[1], columns, old.shape[3])
        used = self._used
        new[: used.rows, :, end - used.width : end] = old[: used.rows, :, self._end - used.width : self._end]
        return new

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """The buffers are there from the beginning."""

    def get_seq_length(self) -> int:
        """Returns how many columns are in use."""
        return self._used.width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Returns the columns that the attention will see, and that the first is number 0."""
        return self._used.width + query_length, 0

    def get_max_length(self) -> int:
        """Returns that there is no limit."""
        return -1


class RowCache:
    """The rows, by their place in the batch."""

    def __init__(self) -> None:
        self._lengths: list[int] = []
        self._shifts: list[int] = []
        self._used = _Used()
        self._layers: list[_Layer] = []

    def add(self, prompt: DynamicCache, copies: int, shift: int = 0) -> None:
        """Appends rows that begin as copies of a prompt's one row. Changes nothing if memory does not suffice.

        `shift`: how far the position of a next token is beyond its column.
        """
        states = _pairs(prompt)
        length, first = states[0][0].shape[2], len(self._lengths)
        rows, width = first + copies, max(length, self._used.width)
        self._layers = self._layers or [_Layer(self._used, pair) for pair in states]
        for layer in self._layers:
            layer.reserve(rows, width, more=0)
        self._lengths += [length] * copies
        self._shifts += [shift] * copies
        self._count()
        for layer, pair in zip(self._layers, states, strict=True):
            layer.write(first, pair)

    def remove(self, row: int) -> None:
        """Takes one row out; the last one takes its place. Without rows there is no memory in use."""
        last = len(self._lengths) - 1
        for layer in self._layers if row != last else ():
            layer.copy_row(last, row)
        for each in (self._lengths, self._shifts):
            each[row] = each[last]
            each.pop()
        self._count()
        if not self._lengths:
            self._layers = []

    def clear(self) -> None:
        """Takes all rows out."""
        self._lengths, self._shifts, self._layers = [], [], []
        self._count()

    def step(self, device: torch.device) -> dict[str, Any]:
        """Returns what the model needs to add one token to each row: cache, positions and, if it pads, a mask."""
        for layer in self._layers:
            layer.reserve(self._used.rows, self._used.width, more=1)
        lengths = torch.tensor(self._lengths, device=device)[:, None]
        mask = None
        if min(self._lengths) < self._used.width:
            mask = torch.arange(self._used.width + 1, device=device) >= self._used.width - lengths
        positions = lengths + torch.tensor(self._shifts, device=device)[:, None]
        return {"past_key_values": Cache(layers=[*self._layers]), "position_ids": positions, "attention_mask": mask}

    def advance(self) -> None:
        """Counts the token that a step has added to each row."""
        self._lengths = [length + 1 for length in self._lengths]
        self._count()

    def _count(self) -> None:
        self._used.rows, self._used.width = len(self._lengths), max(self._lengths, default=0)


def _pairs(prompt: DynamicCache) -> Sequence[Pair]:
    layers: Sequence[Any] = prompt.layers
    return [(layer.keys, layer.values) for layer in layers]
