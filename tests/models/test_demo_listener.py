"""The demo's ear still understands what its README says, on sentences that training never saw."""

import random
from typing import Any

import numpy as np
import pytest

from models.demo.make_listener import evaluate, folder, sentences, voices

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries say while they load


@pytest.fixture(scope="module")
def model() -> Any:
    return evaluate.load()


def test_the_folder_is_small_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in evaluate.FOLDER.iterdir()}
    assert set(files) == {"README.md", "configuration.json", "config.yaml", "model.pt", "am.mvn", folder.BPE_FILE}
    assert sum(files.values()) <= 4_000_000


def test_held_out_sentences_are_kept_out() -> None:
    source = random.Random(5)  # noqa: S311
    trained = {sentences.draw(source, held_out=False) for _ in range(3000)}
    asked = {sentences.draw(source, held_out=True) for _ in range(300)}
    assert not trained & asked


def test_mistakes_are_counted() -> None:
    assert evaluate.mistakes("turn on the light", "turn on the light") == 0
    assert evaluate.mistakes("turn on the light", "turn the night light") == 2
    assert evaluate.mistakes("one two", "") == 2


@pytest.mark.parametrize(
    ("speakers", "is_written", "most"),
    [(voices.VOICES, False, 0.19), (voices.VOICES, True, 0.21), (voices.UNHEARD, False, 0.20)],
    ids=["spoken", "written", "other voices"],
)
def test_word_error_rate(model: Any, speakers: tuple[str, ...], is_written: bool, most: float) -> None:
    rate, _, missed = evaluate.error_rate(model, 100, speakers, is_written=is_written)
    assert rate <= most, missed[:5]


def test_tags_come_first(model: Any) -> None:
    speech = voices.Espeak().say("turn on the light in the kitchen", "en-us", 150, 50)
    assert evaluate.hear(model, speech).startswith("<|en|><|NEUTRAL|><|Speech|><|woitn|>")
    assert evaluate.hear(model, speech, use_itn=True).endswith("<|withitn|> Turn on the light in the kitchen.")


def test_silence_is_nothing(model: Any) -> None:
    assert evaluate.hear(model, np.zeros(32_000, np.float32)).startswith("<|nospeech|>")
