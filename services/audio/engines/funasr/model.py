"""All that needs the library: loading, and writing down one utterance. `engine` imports it when it starts.

The library is only ever given arrays: of a string it would read the file, or fetch the address.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch
from funasr import AutoModel

from gpt_server.services.audio.engine import EngineConfig, Samples, TranscriptionConfig, Word
from gpt_server.services.audio.engines.funasr.arguments import Arguments
from gpt_server.services.audio.engines.funasr.families import FAMILIES, Family, hotwords, read_tags
from gpt_server.services.audio.words import Piece, words_of

SAMPLE_RATE_HZ = 16_000
_SHORTEST = SAMPLE_RATE_HZ // 10
"""Shorter sounds are lengthened with silence: the library's frames need some length."""
_FRAME_S = 0.06
"""Of SenseVoice: six steps of 10 ms."""
_TAGS = 4
"""Frames before those of the sound, in which it says language, emotion, event and style."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said in an utterance: words with times from its beginning, if they were asked for."""

    text: str
    language: str
    words: tuple[Word, ...] = ()


class Model:
    """A loaded model. It belongs to one thread."""

    def __init__(self, config: EngineConfig) -> None:
        self._arguments = Arguments.model_validate(dict(config.engine_args))
        self._model = self._load(config, config.model, frontend_conf={"dither": 0.0})
        punctuation = self._arguments.punc_model
        self._punctuation = self._load(config, punctuation) if punctuation else None
        self.family: Family = FAMILIES.get(type(self._model.model).__name__, Family())
        self._frames: torch.Tensor = torch.zeros(0)
        if self.family.timestamps == "frames":
            self._watch(self._model.model.ctc)

    def _load(self, config: EngineConfig, model: str, **options: Any) -> Any:
        device = self._arguments.device
        if device == "auto":
            device = "cuda" if config.gpus else "cpu"
        if self._arguments.hub != "none":
            options |= {"hub": self._arguments.hub, "model_revision": self._arguments.revision or "master"}
        return AutoModel(
            model=model,
            device=device,
            ncpu=self._arguments.ncpu or torch.get_num_threads(),
            disable_update=True,  # else it asks a registry whether there is a newer version
            disable_pbar=True,
            disable_log=True,
            log_level="ERROR",
            **options,
        )

    def _watch(self, ctc: Any) -> None:
        """Keeps the scores of the last call's frames, frames × pieces."""
        scores = ctc.log_softmax

        def watched(encoded: torch.Tensor) -> Any:
            found = scores(encoded)
            self._frames = found[0].detach()
            return found

        ctc.log_softmax = watched

    def hear(self, samples: Samples, config: TranscriptionConfig) -> Heard:
        """Writes down an utterance."""
        options: dict[str, Any] = {"use_itn": self._arguments.use_itn}
        if config.language:
            options["language"] = config.language
        if config.word_timestamps and self.family.timestamps != "frames":
            options[self.family.timestamps] = True
        if config.keywords:
            options["hotword"] = hotwords(config.keywords)
        sound = torch.zeros(max(len(samples), _SHORTEST))
        sound[: len(samples)] = torch.from_numpy(samples.copy())
        found = self._model.generate(input=[sound], cache={}, **options)
        said = found[0] if found else {"text": ""}
        tagged = read_tags(str(said["text"]))
        text = self._punctuated(tagged.text)
        end_s = len(samples) / SAMPLE_RATE_HZ
        words: tuple[Word, ...] = ()
        if config.word_timestamps:
            pieces = self._spoken() if self.family.timestamps == "frames" else _timed(text, said)
            words = words_of(text, pieces, 0.0, end_s)
        return Heard(text, tagged.language or config.language, words)

    def _spoken(self) -> list[Piece]:
        """Returns the pieces of the last call's text, from the frames in which they are the likeliest.

        The library's own way spells the text anew and fails where that gives other pieces.
        """
        tokenizer, runs, at = self._model.kwargs["tokenizer"], [], 0
        best, counts = torch.unique_consecutive(self._frames[_TAGS:].argmax(-1), return_counts=True)
        for piece, count in zip(best.tolist(), counts.tolist(), strict=True):
            if piece != self._model.model.blank_id:
                runs.append((piece, at, at + count))
            at += count
        pieces = [piece for piece, _, _ in runs]
        return [
            Piece(len(tokenizer.decode(pieces[: i + 1]).strip()), first * _FRAME_S, last * _FRAME_S)
            for i, (_, first, last) in enumerate(runs)
        ]

    def _punctuated(self, text: str) -> str:
        if self._punctuation is None or not text:
            return text
        part = self._punctuation
        with torch.inference_mode():  # not `generate`, which would take a text for a path
            found, _ = part.model.inference(data_in=[text], key=["text"], **part.kwargs)
        return str(found[0]["text"]).strip()


def _timed(text: str, said: dict[str, Any]) -> list[Piece]:
    """Returns where the words and characters are that the library has timed."""
    times = said.get("timestamp") or []
    names = re.findall(r"[a-zA-Z0-9']+|[^\W_a-zA-Z0-9]", text)
    pieces, at = [], 0
    for name, (start_ms, end_ms) in zip(names, times, strict=False):
        found = text.lower().find(str(name).lower(), at)
        at = found + len(name) if found >= 0 else at
        pieces.append(Piece(at, start_ms / 1000, end_ms / 1000))
    return pieces
