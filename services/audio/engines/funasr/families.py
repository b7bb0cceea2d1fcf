"""What each family of FunASR's models can do, and how it is asked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Models that are asked in the same way.

    Attributes:
        languages: ISO 639 codes of what it writes; empty if it does not say.
        takes_language: whether it can be told the language.
        timestamps: the option that makes it say where its words are, `frames` if its frames do; empty if there is none.
        takes_keywords: whether words can be named that it is to expect.
    """

    languages: Sequence[str] = ()
    takes_language: bool = False
    timestamps: str = ""
    takes_keywords: bool = False


FAMILIES: Mapping[str, Family] = {
    "SenseVoiceSmall": Family(("zh", "en", "yue", "ja", "ko"), takes_language=True, timestamps="frames"),
    "Paraformer": Family(timestamps="pred_timestamp"),
    "BiCifParaformer": Family(timestamps="pred_timestamp"),
    "ContextualParaformer": Family(takes_keywords=True),
    "SeacoParaformer": Family(timestamps="pred_timestamp", takes_keywords=True),
}
"""By the name of the class in `config.yaml`. Of any other model no more is expected than a text."""

_TAG = re.compile(r"<\|([^|]*)\|>")
_LANGUAGES = frozenset(FAMILIES["SenseVoiceSmall"].languages)


@dataclass(frozen=True, slots=True)
class Tagged:
    """What a SenseVoice has written, without its tags. `language` is empty if no tag says it."""

    text: str
    language: str


def read_tags(written: str) -> Tagged:
    """Takes the tags of language, emotion, event and punctuation out of a text."""
    languages = [tag for tag in _TAG.findall(written) if tag in _LANGUAGES]
    return Tagged(_TAG.sub("", written).strip(), languages[0] if languages else "")


def hotwords(keywords: Sequence[str]) -> str:
    """Returns keywords as the library takes them: one string, with blanks between the words.

    The library would read a file, or fetch an address, that the string names; blanks around it keep it from that.
    """
    return f" {' '.join(keywords)} "
