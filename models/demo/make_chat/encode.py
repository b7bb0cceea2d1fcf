"""From dialogues to token rows: what the model reads, and where it is graded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from .source import Dialog, Message

PROMPT_WEIGHT = 0.05


@dataclass
class Example:
    """One tokenised dialogue; weights say how much each token counts in the loss."""

    tokens: list[int]
    weights: list[float]


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """The number of a single token."""
    number = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(number, int):
        raise TypeError(f"{token} is not one token")
    return number


def shown(messages: list[Message], thinking: bool) -> list[Message]:
    """The messages, without their thoughts when the dialogue does not think."""
    hidden = () if thinking else ("reasoning_content",)
    return [{k: v for k, v in message.items() if k not in hidden} for message in messages]


def render(tokenizer: PreTrainedTokenizerFast, dialog: Dialog) -> str:
    """The text of a dialogue. Thoughts are shown only when the dialogue thinks."""
    messages = shown(dialog.messages, dialog.thinking)
    tools: list[Any] = list(dialog.tools)
    return str(tokenizer.apply_chat_template(messages, tools=tools or None, tokenize=False))


class Encoder:
    """Turns dialogues into examples."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.start, self.end, self.think, self.unthink = (
            token_id(tokenizer, token) for token in ("<|im_start|>", "<|im_end|>", "<think>", "</think>")
        )
        self.head = tokenizer("<|im_start|>assistant\n").input_ids

    def __call__(self, dialog: Dialog) -> Example:
        """Tokens of one dialogue, graded in the assistant's turns."""
        tokens = self.tokenizer(render(self.tokenizer, dialog)).input_ids
        weights = [PROMPT_WEIGHT] * len(tokens)
        weights[0] = 0.0
        index = 0
        while index < len(tokens):
            if tokens[index : index + len(self.head)] == self.head:
                index += len(self.head)
                # the empty thought is part of the prompt: the template writes it, not the model
                if tokens[index + 2] == self.unthink:
                    weights[index : index + 4] = [0.0] * 4
                    index += 4
                while tokens[index] != self.end:
                    weights[index] = 1.0
                    index += 1
                weights[index] = 1.0
            index += 1
        return Example(tokens, weights)


@dataclass
class Batch:
    """Rows of packed examples; `owner` tells which example of the row a token belongs to."""

    tokens: torch.Tensor
    weights: torch.Tensor
    owner: torch.Tensor


def pack(examples: Iterator[Example], rows: int, width: int, low: int) -> Iterator[Batch]:
    """Fill rows of one width with whole examples that have more than `low` tokens."""
    held: list[Example] = []
    while True:
        batch = Batch(
            torch.zeros(rows, width, dtype=torch.long),
            torch.zeros(rows, width),
            torch.full((rows, width), -1, dtype=torch.long),
        )
        for row in range(rows):
            used, number = 0, 0
            while used < width:
                while len(held) < 24:
                    example = next(examples)
                    if low < len(example.tokens) <= width:
                        held.append(example)
                # the longest one that still fits leaves the least padding
                fit = max((e for e in held if len(e.tokens) <= width - used), key=lambda e: len(e.tokens), default=None)
                if used == 0:
                    fit = held[0]
                if fit is None:
                    break
                held.remove(fit)
                span = slice(used, used + len(fit.tokens))
                batch.tokens[row, span] = torch.tensor(fit.tokens)
                batch.weights[row, span] = torch.tensor(fit.weights)
                batch.owner[row, span] = number
                used, number = used + len(fit.tokens), number + 1
        yield batch
