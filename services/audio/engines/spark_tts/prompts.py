"""Spark-TTS's vocabulary and prompts: text, style and sound as tokens of one language model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GENDERS: Mapping[str, int] = {"female": 0, "male": 1}
"""The voices that the model has by name."""
LEVELS = (0.65, 0.9, 1.1, 1.5)
"""Where one of the five levels of pitch and speed ends and the next begins, as factors."""
GLOBAL_TOKENS = 32
_ENDS = ".!?\u3002\uff01\uff1f\u2026\n"
"""What ends a sentence, in Latin and in Chinese script."""
_LONGEST = 200
"""Characters that are spoken in one go."""


def level(factor: float | None) -> int:
    """Returns which of the model's levels, 0 to 4, a factor stands for; 2 is normal."""
    return 2 if factor is None else sum(factor > bound for bound in LEVELS)


def sentences(text: str) -> list[str]:
    """Returns a text in stretches that the model speaks in one go, cut where sentences end, else at blanks."""
    found: list[str] = []
    for part in re.findall(rf"[^{_ENDS}]+[{_ENDS}]*|[{_ENDS}]+", text):
        if found and len(found[-1]) + len(part) <= _LONGEST:
            found[-1] += part
        else:
            found.append(part)
    bounded = rf".{{1,{_LONGEST}}}(?:\s+|$)|.{{1,{_LONGEST}}}"
    cut = [piece for part in found for piece in re.findall(bounded, part.strip())]
    return [piece.strip() for piece in cut if piece.strip()]


@dataclass(frozen=True, slots=True)
class Reference:
    """A voice as tokens. `semantic`: of what is said in the recording, if `text` says what that is."""

    global_tokens: Sequence[int]
    semantic: Sequence[int] = ()
    text: str = ""


class Vocabulary:
    """The tokens of one model."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        known: Mapping[str, int] = self._tokenizer.get_vocab()
        pattern = re.compile(r"<\|bicodec_(semantic|global)_(\d+)\|>")
        found = {number: pattern.match(token) for token, number in known.items()}
        self._sounds = {number: (name[1], int(name[2])) for number, name in found.items() if name}
        if not self._sounds:
            raise ValueError(f"{folder} has no tokens of sound: not the language model of a Spark-TTS")
        ends = ("<|end_semantic_token|>", "<|im_end|>", "<|endoftext|>")
        self.end_ids = [known[token] for token in ends if token in known]

    def cloned(self, text: str, voice: Reference) -> list[int]:
        """Returns the prompt for a text in the voice of a recording."""
        spoken = f"<|task_tts|><|start_content|>{voice.text}{text}<|end_content|><|start_global_token|>"
        spoken += "".join(f"<|bicodec_global_{one}|>" for one in voice.global_tokens) + "<|end_global_token|>"
        if voice.text:
            spoken += "<|start_semantic_token|>" + "".join(f"<|bicodec_semantic_{one}|>" for one in voice.semantic)
        return self._ids(spoken)

    def styled(self, text: str, gender: str, pitch: float | None, speed: float | None) -> list[int]:
        """Returns the prompt for a text in a voice that the model makes up."""
        style = f"<|gender_{GENDERS[gender]}|><|pitch_label_{level(pitch)}|><|speed_label_{level(speed)}|>"
        content = f"<|task_controllable_tts|><|start_content|>{text}<|end_content|>"
        return self._ids(f"{content}<|start_style_label|>{style}<|end_style_label|>")

    def sounds(self, tokens: Sequence[int], kind: str) -> list[int]:
        """Returns the numbers of the tokens that are sound of a kind: `semantic` or `global`."""
        found = [self._sounds[token] for token in tokens if token in self._sounds]
        return [number for name, number in found if name == kind]

    def is_semantic(self, token: int) -> bool:
        """Whether a token is a fiftieth of a second of speech."""
        return self._sounds.get(token, ("", 0))[0] == "semantic"

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[no-any-return]
