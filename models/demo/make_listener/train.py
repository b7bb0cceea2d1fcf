"""Trains the demo's ear from nothing.

    python -m models.demo.make_listener.train --publish models/demo/listener

Every utterance is synthesised here; no recording is used. The sentences, voices and steps come from one seed.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch.nn import functional

from models.demo.make_listener import folder as model_folder
from models.demo.make_listener import sentences, voices

UNSPOKEN = 0.04
"""Share of utterances in which nobody speaks."""
LANGUAGE_IDS = {"auto": 0, "en": 4}
STYLE_IDS = {"withitn": 14, "woitn": 15}
"""Rows of the model's table of questions: the library's own numbers."""


@dataclass(frozen=True, slots=True)
class Example:
    """An utterance: its features (frames × 560, half precision) and what was said, nothing if nobody spoke."""

    features: torch.Tensor
    text: str


def features_of(frontend: Any, samples: voices.Samples) -> torch.Tensor:
    """Returns frames × 560."""
    found, _ = frontend(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    return found[0]  # type: ignore[no-any-return]


def examples(count: int, settings: dict[str, Any], source: Random) -> list[Example]:
    """Returns utterances to learn from."""
    from funasr.frontends.wav_frontend import WavFrontend

    frontend = WavFrontend(**settings["frontend_conf"])
    espeak = voices.Espeak()
    found = []
    for _ in range(count):
        if source.random() < UNSPOKEN:
            text, samples = "", voices.noise(source.randint(8000, 60_000), source.choice([0.0001, 0.001, 0.01]), source)
        else:
            text = sentences.draw(source, held_out=False)
            samples = voices.utterance(espeak, text, source)
        found.append(Example(features_of(frontend, samples).half(), text))
    return found


class Lessons:
    """Batches of examples of similar length, with the questions that the model is asked and the right answers."""

    def __init__(self, found: list[Example], pieces: Any, source: Random) -> None:
        self._pieces, self._source = pieces, source
        spoken = torch.cat([one.features.float() for one in found if one.text])
        self.mean, self.deviation = spoken.mean(0), spoken.std(0)
        self._found = sorted(found, key=lambda one: len(one.features))

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, list[list[int]]]:
        """Returns features, their lengths, questions (language, style), right tags, and right pieces."""
        start = self._source.randrange(len(self._found) - size)
        chosen = self._found[start : start + size]
        lengths = torch.tensor([len(one.features) for one in chosen])
        batch = torch.zeros(size, int(lengths.max()), model_folder.FEATURES)
        questions, tags, texts = [], [], []
        for row, one in zip(batch, chosen, strict=True):
            row[: len(one.features)] = self._masked((one.features.float() - self.mean) / self.deviation)
            style = self._source.choice(list(STYLE_IDS))
            questions.append([self._source.choice(list(LANGUAGE_IDS.values())), STYLE_IDS[style]])
            tags.append([self._pieces.piece_to_id(f"<|{tag}|>") for tag in self._tags(one.text, style)])
            texts.append(self._encoded(one.text, style))
        return batch, lengths, torch.tensor(questions), torch.tensor(tags), texts

    def _tags(self, text: str, style: str) -> tuple[str, str, str, str]:
        return ("en", "NEUTRAL", "Speech", style) if text else ("nospeech", "EMO_UNKNOWN", "Event_UNK", style)

    def _encoded(self, text: str, style: str) -> list[int]:
        if not text:
            return []
        ids: list[int] = self._pieces.encode(sentences.written(text) if style == "withitn" else text)
        return ids

    def _masked(self, features: torch.Tensor) -> torch.Tensor:
        """Hides some bands and some frames, so that no single one decides."""
        low, width = self._source.randrange(80), self._source.randrange(14)
        features.view(len(features), 7, 80)[:, :, low : low + width] = 0
        first = self._source.randrange(len(features))
        features[first : first + self._source.randrange(3)] = 0
        return features


def loss_of(model: Any, lesson: tuple[Any, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the loss of the words (CTC) and that of the tags before them, as in SenseVoice's own training."""
    features, lengths, questions, tags, texts = lesson
    size = len(features)
    kinds = model.embed(torch.tensor([[1, 2]] * size))
    language, style = model.embed(questions).split(1, dim=1)
    encoded, _ = model.encoder(torch.cat([language, kinds, style, features], 1), lengths + 4)
    scores = model.ctc.ctc_lo(encoded)
    likely = scores[:, 4:].log_softmax(-1).transpose(0, 1)
    right = torch.tensor([piece for text in texts for piece in text])
    words = functional.ctc_loss(likely, right, lengths, torch.tensor([len(text) for text in texts]), zero_infinity=True)
    return words, functional.cross_entropy(scores[:, :4].flatten(0, 1), tags.flatten())


def train(model: Any, lessons: Lessons, steps: range, peak: float, into: Path) -> None:
    """Trains with AdamW; the rate rises for 200 steps and falls as a cosine to the end of `steps`."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):  # what is masked and the noise are enough, and drawing is slow
            part.p = 0.0
    mean = 0.0
    for step in steps:
        rate = peak * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * step / steps.stop)) + 1e-5
        optimizer.param_groups[0]["lr"] = rate
        words, tags = loss_of(model, lessons.batch(32))
        optimizer.zero_grad()
        (words + tags).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        mean += (words.item() - mean) / (step % 100 + 1)
        if step % 100 == 99:
            print(f"step {step + 1}  words {mean:.3f}  tags {tags.item():.3f}", flush=True)
            mean = 0.0
        if step % 250 == 249:
            model_folder.write_weights(into, model)


def main() -> None:
    """Makes the model folder."""
    parser = argparse.ArgumentParser(description="Trains the demo's ear.")
    parser.add_argument("--publish", type=Path, required=True, help="the model folder")
    parser.add_argument("--utterances", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--resume", type=int, default=0, help="go on with the folder's own weights after this step")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    source = Random(flags.resume)
    flags.publish.mkdir(parents=True, exist_ok=True)
    settings = model_folder.config(flags.size, flags.blocks)
    if flags.resume:
        pieces = model_folder.read_pieces(flags.publish)
    else:
        model_folder.write_settings(flags.publish, settings)
        texts = [sentences.draw(source, held_out=False) for _ in range(6000)]
        pieces = model_folder.write_pieces(flags.publish, [*texts, *map(sentences.written, texts)], 600)
    lessons = Lessons(examples(flags.utterances, settings, source), pieces, source)
    model = model_folder.new_model(settings, pieces.get_piece_size())
    if flags.resume:
        lessons.mean, lessons.deviation = model_folder.read_normalisation(flags.publish)
        model_folder.read_weights(flags.publish, model)
    else:
        model_folder.write_normalisation(flags.publish, lessons.mean, lessons.deviation)
    print(f"{sum(one.numel() for one in model.parameters())} parameters, {pieces.get_piece_size()} pieces", flush=True)
    train(model, lessons, range(flags.resume, flags.steps), 2e-3, flags.publish)
    model_folder.write_weights(flags.publish, model)


if __name__ == "__main__":
    main()
