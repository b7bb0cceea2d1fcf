"""Train demo-chat on a CPU for a given number of minutes.

    python -m models.demo.make_chat.train --minutes 60 --work build/demo-chat --publish models/demo/chat

The learning rate follows the wall clock, so that a busy machine ends with fewer steps but still
with a finished schedule. A checkpoint is kept in the work folder; `--resume` goes on from it.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from . import dialogs, publish
from .encode import Batch, Encoder, Example, pack, render, token_id
from .source import Dialog
from .tokenizer import build_tokenizer

# (rows, width, only examples longer than, share of the steps). Two fixed shapes: short dialogues
# are the bulk; some steps with long ones teach the far end of the context.
SHAPES = ((32, 256, 0, 0.86), (14, 576, 224, 0.14))
MATRIX_RATE, OTHER_RATE = 0.02, 0.003
WARM_STEPS, DECAY_FROM = 40, 0.3


def make_config(tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """Qwen3 with about five million parameters."""
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=token_id(tokenizer, "<|im_end|>"),
        pad_token_id=token_id(tokenizer, "<|endoftext|>"),
    )


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer on the first dialogues of the stream."""
    bare = build_tokenizer(["Hello"], 270)
    sample: Iterator[Dialog] = itertools.islice(dialogs.stream(dialogs.SEED + 1), 12000)
    return build_tokenizer(render(bare, dialog) for dialog in sample)


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[Batch]:
    """Endless training batches in the two shapes."""
    encoder = Encoder(tokenizer)
    generator = torch.Generator().manual_seed(seed)
    streams = []
    for number, (rows, width, low, _) in enumerate(SHAPES):
        examples: Iterator[Example] = map(encoder, _long_enough(seed * 10 + number, low))
        streams.append(pack(examples, rows, width, low))
    shares = torch.tensor([share for *_, share in SHAPES])
    while True:
        yield next(streams[int(torch.multinomial(shares, 1, generator=generator))])


def _long_enough(seed: int, low: int) -> Iterator[Dialog]:
    """Only tool dialogues get long; leaving out the others saves the work of encoding them."""
    return (dialog for dialog in dialogs.stream(seed) if dialog.tools or not low)


def attention_mask(owner: torch.Tensor) -> torch.Tensor:
    """Causal, and only within one example."""
    width = owner.shape[1]
    same = owner[:, :, None] == owner[:, None, :]
    allowed = same & torch.ones(width, width, dtype=torch.bool).tril()
    return torch.zeros(allowed.shape).masked_fill(~allowed, -1e9)[:, None]


class Graded(nn.Module):
    """The model with its weighted loss, so that both are compiled together."""

    def __init__(self, model: Qwen3ForCausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss to minimise, and the plain loss of the assistant's tokens to print."""
        positions = torch.arange(tokens.shape[1])[None]
        hidden = self.model.model(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=False)
        logits = self.model.lm_head(hidden.last_hidden_state[:, :-1]).float().flatten(0, 1)
        losses = nn.functional.cross_entropy(logits, tokens[:, 1:].flatten(), reduction="none")
        graded = weights[:, 1:].flatten()
        full = (graded == 1.0).float()
        return (losses * graded).sum() / graded.sum(), ((losses * full).sum() / full.sum()).detach()


def optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, momentum=0.95, weight_decay=0.02),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(done: float, step: int) -> float:
    """Warm up, stay, then go down to nearly zero; `done` is the elapsed share of the time."""
    warm = min(1.0, (step + 1) / WARM_STEPS)
    return warm * min(1.0, max(0.01, (1.0 - done) / (1.0 - DECAY_FROM)))


class Trainer:
    """One training run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        self.work = Path(args.work)
        self.step, self.before = 0, 0.0
        if args.resume:
            self.tokenizer, self.model = publish.load(self.work / "last")
            state = torch.load(self.work / "last" / "state.pt")
            self.step, self.before = state["step"], state["seconds"]
        else:
            self.tokenizer = make_tokenizer()
            self.model = Qwen3ForCausalLM(make_config(self.tokenizer))
        self.model.config._attn_implementation = "eager"  # faster than sdpa in a CPU training step
        self.optimizers = optimizers(self.model)
        if args.resume:
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        self.graded = torch.compile(Graded(self.model), dynamic=False)

    def run(self) -> None:
        """Train until the minutes are over."""
        size = sum(p.numel() for p in self.model.parameters())
        print(f"{size / 1e6:.2f} million parameters, {len(self.tokenizer)} tokens", flush=True)
        budget, started, saved = self.args.minutes * 60, time.monotonic(), time.monotonic()
        self.model.train()
        seen, shown = 0, 0.0
        for batch in batches(self.tokenizer, self.args.seed + self.step):
            seconds = self.before + time.monotonic() - started
            if seconds >= budget:
                break
            loss = self.learn(batch, rate(seconds / budget, self.step))
            seen, self.step = seen + batch.tokens.numel(), self.step + 1
            shown = loss if not shown else 0.95 * shown + 0.05 * loss
            if self.step <= 5 or self.step % 25 == 0:
                print(f"step {self.step} {seconds:.0f} s {seen / 1e6:.2f} M tokens loss {shown:.4f}", flush=True)
            if time.monotonic() - saved > self.args.save_seconds:
                saved = time.monotonic()
                self.save(seconds)
        self.save(budget)
        if self.args.publish:
            publish.publish(self.tokenizer, self.model, Path(self.args.publish))

    def learn(self, batch: Batch, factor: float) -> float:
        """One step; returns the loss on the assistant's tokens."""
        with torch.autocast("cpu", torch.bfloat16):
            loss, shown = self.graded(batch.tokens, batch.weights, attention_mask(batch.owner))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, base in zip(self.optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = base * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(shown)

    def save(self, seconds: float) -> None:
        """Keep a checkpoint to look at or to go on from."""
        folder = self.work / "last"
        publish.publish(self.tokenizer, self.model, folder, torch.float32)
        state = {"step": self.step, "seconds": seconds, "optimizers": [o.state_dict() for o in self.optimizers]}
        torch.save(state, folder / "state.tmp")
        (folder / "state.tmp").replace(folder / "state.pt")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--work", default="build/demo-chat")
    parser.add_argument("--publish", default="")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-seconds", type=float, default=300)
    Trainer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
