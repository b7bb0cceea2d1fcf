"""All that needs the library: loading, and writing down one utterance. `engine` imports it when it starts."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList
from transformers.utils import logging

from gpt_server.services.audio.engine import EngineConfig, Samples, Segment, TranscriptionConfig, Usage
from gpt_server.services.audio.engines.whisper.arguments import Arguments
from gpt_server.services.audio.words import Piece, words_of

SAMPLE_RATE_HZ = 16_000
FALLBACK: dict[str, Any] = {
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
}
"""When Whisper's authors try again: a text that repeats itself, or one that the model does not believe."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said in an utterance: segments, with times from its beginning, and the tokens it took."""

    segments: Sequence[Segment]
    usage: Usage


class _Stop(StoppingCriteria):
    """Ends the generation of tokens once an event is set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.full((len(input_ids),), self._event.is_set(), dtype=torch.bool, device=input_ids.device)


class Model:
    """A loaded model. It belongs to one thread, but for `prompt_ids`."""

    def __init__(self, config: EngineConfig) -> None:
        logging.disable_progress_bar()  # the log of a service is lines
        logging.set_verbosity_error()  # it advises on each call
        self._arguments = Arguments.model_validate(dict(config.engine_args))
        revision = self._arguments.revision or "main"
        self._processor: Any = WhisperProcessor.from_pretrained(config.model, revision=revision)
        self._model: Any = self._load(config).eval()
        said = self._model.generation_config
        codes = {token.strip("<|>"): number for token, number in (getattr(said, "lang_to_id", None) or {}).items()}
        self._languages = {number: code for code, number in codes.items()}
        #: ISO 639 codes that it knows; empty if it is for English alone.
        self.languages: Sequence[str] = sorted(codes)
        self.is_multilingual = bool(getattr(said, "is_multilingual", codes))
        #: Whether it says where words are: whether its configuration names the attention heads that look there.
        self.times_words = bool(getattr(said, "alignment_heads", None))

    def _load(self, config: EngineConfig) -> Any:
        device, dtype = self._arguments.device, self._arguments.dtype
        if device == "auto":
            device = "cuda" if config.gpus else "cpu"
        if dtype == "auto" and device == "cpu":
            dtype = "float32"
        attention = self._arguments.attn_implementation or "eager"
        revision = self._arguments.revision or "main"
        model: Any = WhisperForConditionalGeneration.from_pretrained(
            config.model, revision=revision, dtype=dtype, attn_implementation=attention
        )
        return model.to(device)

    def prompt_ids(self, prompt: str) -> torch.Tensor:
        """Returns a prompt as tokens. Raises `ValueError`: it has a special token in it."""
        return self._processor.tokenizer.get_prompt_ids(prompt, return_tensors="pt")  # type: ignore[no-any-return]

    @torch.inference_mode()
    def hear(
        self, samples: Samples, config: TranscriptionConfig, prompt: torch.Tensor | None, stop: threading.Event
    ) -> Heard:
        """Writes down an utterance of at most 30 s; stops within a token once `stop` is set."""
        inputs = self._processor(
            samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", return_attention_mask=True
        ).to(self._model.device, self._model.dtype)
        options = self._options(config, prompt)
        language = config.language
        if self.is_multilingual and not language:
            language = self._languages[int(self._model.detect_language(inputs.input_features)[0])]
        if self.is_multilingual:
            options |= {"language": language, "task": config.task or "transcribe"}
        found = self._model.generate(
            inputs.input_features,
            attention_mask=inputs.attention_mask,
            return_timestamps=True,
            return_segments=True,
            stopping_criteria=StoppingCriteriaList([_Stop(stop)]),
            num_beams=self._arguments.num_beams,
            **options,
        )
        end_s = len(samples) / SAMPLE_RATE_HZ
        said = "en" if config.task == "translate" or not language else language
        timed = bool(config.word_timestamps)
        segments = [self._segment(one, said, end_s, timed) for one in found["segments"][0]]
        count = sum(len(one["tokens"]) for one in found["segments"][0])
        spoken = [
            one for one in segments if one.text.strip() and one.start_s < end_s
        ]  # not what it hears in the padding
        return Heard(spoken, Usage(0 if prompt is None else len(prompt), count))

    def _options(self, config: TranscriptionConfig, prompt: torch.Tensor | None) -> dict[str, Any]:
        options: dict[str, Any] = {"return_token_timestamps": bool(config.word_timestamps)}
        if prompt is not None:
            options["prompt_ids"] = prompt.to(self._model.device)
        if config.temperature is None and self._arguments.temperature_fallback:
            options |= FALLBACK
        else:
            options |= {"temperature": config.temperature or 0.0}
        return options

    def _segment(self, found: dict[str, Any], language: str, end_s: float, timed: bool) -> Segment:
        """Returns a segment, its times brought inside the utterance."""
        tokens = [token for token in found["tokens"].tolist() if token < self._model.generation_config.eos_token_id]
        text = self._decoded(tokens)
        start_s = min(max(float(found["start"]), 0.0), end_s)
        stop_s = min(max(float(found["end"]), start_s), end_s)
        words = words_of(text, self._pieces(found), start_s, stop_s) if timed else ()
        return Segment(start_s, stop_s, text, words, language=language)

    def _pieces(self, found: dict[str, Any]) -> list[Piece]:
        """Returns where each token of the text is: from where the one before it was to where it is itself."""
        pieces: list[Piece] = []
        tokens: list[int] = []
        before_s = float(found["start"])
        for token, at_s in zip(found["tokens"].tolist(), found["token_timestamps"].tolist(), strict=False):
            if token < self._model.generation_config.eos_token_id:
                tokens.append(token)
                pieces.append(Piece(len(self._decoded(tokens)), before_s, at_s))
            before_s = at_s
        return pieces

    def _decoded(self, tokens: Sequence[int]) -> str:
        return self._processor.tokenizer.decode(tokens)  # type: ignore[no-any-return]
