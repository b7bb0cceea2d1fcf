"""The text side of demo-image: two tokenisers and two encoders, which learn to say what a caption asks for.

A linear reading of each encoder has to name shape, colours, place, size and count. So the picture model starts with
vectors that mean something, and the encoders can stay as they are while it learns.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

from models.demo.make_image.scenes import COLOURS, LAYOUTS, PLACES, RADII_PX, SHAPES, Scene, describe, training_scenes

MAX_TOKENS = 20
"""Of a caption in the T5 encoder."""
CLIP_TOKENS = 77
WIDTH = 128
RATE = 2e-3
CLASSES = (SHAPES, tuple(COLOURS), tuple(COLOURS), tuple(PLACES), tuple(RADII_PX), (1, *LAYOUTS))


def classes_of(scene: Scene) -> list[int]:
    """Returns the number of each property of a scene, in the order of CLASSES."""
    said = (scene.shape, scene.colour, scene.background, scene.place, scene.size, scene.count)
    return [names.index(value) for names, value in zip(CLASSES, said, strict=True)]


def make_tokenizers(seed: int) -> tuple[Any, Any]:
    """Returns a CLIP and a T5 tokeniser that know the words of the captions; others come apart into letters."""
    rng = random.Random(seed)
    scenes = training_scenes(rng)
    captions = [describe(next(scenes), rng) for _ in range(4000)]
    return _clip(captions), _t5(captions)


def _clip(captions: Sequence[str]) -> Any:
    start, end = "<|startoftext|>", "<|endoftext|>"
    bare = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=end))
    bare.normalizer = normalizers.Lowercase()
    bare.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=alphabet, end_of_word_suffix="</w>", special_tokens=[start, end]
    )
    bare.train_from_iterator(captions, trainer)
    vocab, merges = bare.get_vocab(), _merges(bare)
    for letter in alphabet:  # letters that end a word, too
        vocab.setdefault(f"{letter}</w>", len(vocab))
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CLIP_TOKENS)  # type: ignore[arg-type]


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    import json

    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(first, second) for first, second in found]


def _t5(captions: Sequence[str]) -> Any:
    words = Counter(word for caption in captions for word in caption.replace(",", " , ").replace(".", " . ").split())
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,-'!?"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(f"▁{word}", -1.0) for word in sorted(words)]
    pieces += [(letter, -6.0) for letter in letters]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=MAX_TOKENS)
    backend: Any = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Lowercase()
    return tokenizer


class Text(nn.Module):
    """Both encoders, with a reading of each for their training."""

    def __init__(self, clip_tokenizer: Any, t5_tokenizer: Any) -> None:
        super().__init__()
        self.clip_tokenizer, self.t5_tokenizer = clip_tokenizer, t5_tokenizer
        self.clip: Any = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(clip_tokenizer),
                hidden_size=WIDTH,
                intermediate_size=2 * WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                projection_dim=WIDTH,
                max_position_embeddings=CLIP_TOKENS,
                bos_token_id=clip_tokenizer.bos_token_id,
                eos_token_id=clip_tokenizer.eos_token_id,
                pad_token_id=clip_tokenizer.pad_token_id,
            )
        )
        self.t5: Any = T5EncoderModel(
            T5Config(
                vocab_size=len(t5_tokenizer),
                d_model=WIDTH,
                d_ff=2 * WIDTH,
                d_kv=32,
                num_layers=2,
                num_heads=4,
                feed_forward_proj="gated-gelu",
                dropout_rate=0.0,
            )
        )
        self.t5_tokens = MAX_TOKENS
        outputs = sum(len(names) for names in CLASSES)
        self.readings = nn.ModuleList(nn.Linear(WIDTH, outputs) for _ in range(2))

    def forward(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what FLUX takes: vectors of the T5 tokens (n, t5_tokens, WIDTH), pooled ones of CLIP (n, WIDTH)."""
        cut = {"truncation": True, "return_tensors": "pt"}
        # CLIP looks back only: what is padded after the end changes nothing, and costs.
        first = self.clip_tokenizer(list(captions), padding=True, max_length=CLIP_TOKENS, **cut).input_ids
        second = self.t5_tokenizer(list(captions), padding="max_length", max_length=self.t5_tokens, **cut).input_ids
        return self.t5(second)[0], self.clip(first).pooler_output

    def loss(self, captions: Sequence[str], classes: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Returns how badly both readings name what captions ask for, and the share that both name right."""
        tokens, pooled = self(captions)
        total = torch.zeros(())
        right = torch.ones(len(captions), dtype=torch.bool)
        for reading, vectors in zip(self.readings, (tokens.mean(1), pooled), strict=True):
            parts = reading(vectors).split([len(names) for names in CLASSES], dim=1)
            for i, part in enumerate(parts):
                total = total + nn.functional.cross_entropy(part, classes[:, i])
                right &= part.argmax(1) == classes[:, i]
        return total, right.float().mean().item()


def train_text(seed: int, steps: int) -> Text:
    """Returns trained encoders."""
    text = Text(*make_tokenizers(seed))
    optimizer = torch.optim.AdamW(text.parameters(), lr=RATE, weight_decay=0.01)
    rng = random.Random(seed + 1)
    scenes = training_scenes(rng)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / 20, 2 * (1 - step / steps) + 0.02)
        batch = [next(scenes) for _ in range(128)]
        loss, right = text.loss(
            [describe(scene, rng) for scene in batch], torch.tensor([classes_of(scene) for scene in batch])
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (step + 1) % 50 == 0:
            print(f"text step {step + 1} loss {loss.item():.3f} right {right:.3f}", flush=True)
    return text.eval()
