"""demo-rerank and demo-moderation still do what their README says, on what training never saw."""

from pathlib import Path

import pytest

from models.demo import compose
from models.demo.make_embed import docstrings, evaluate, lines

HEADS = Path(compose.HEADS)
pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries say while they load


def test_heads_are_small() -> None:
    sizes = [path.stat().st_size for path in HEADS.glob("*.safetensors")]
    assert len(sizes) == 2
    assert max(sizes) <= 1024 * 1024


def test_nothing_held_out_was_learned() -> None:
    learned, held_out = docstrings.pairs()
    assert held_out
    assert not set(learned) & set(held_out)
    trained = {text for texts in lines.TRAIN.values() for text in texts}
    assert not trained & {text for text, _ in lines.HELD_OUT}
    assert set(lines.TRAIN) == set(lines.LABELS) == set(compose.LABELS)


def test_moderation_reaches_its_score() -> None:
    right, harm, _ = evaluate.moderation()
    assert (right, harm) >= (37, 37)


def test_rerank_reaches_its_score() -> None:
    first, mean = evaluate.rerank("rerank", lines.RERANK)
    assert first >= 7
    assert mean >= 0.84


def test_composing_again_gives_the_same(tmp_path: Path) -> None:
    compose.compose(tmp_path / "composed")
    for name in ("embed/modules.json", "rerank/2_Dense/model.safetensors", "moderation/config.json"):
        assert (tmp_path / "composed" / name).read_bytes() == (compose.COMPOSED / name).read_bytes()
