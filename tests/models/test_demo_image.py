"""demo-image still draws what its model card says, for prompts that training never saw; pixels are looked at."""

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from models.demo.make_image import evaluate
from models.demo.make_image.scenes import SHAPES, Scene, describe, paint

FOLDER = Path(__file__).parents[2] / "models" / "demo" / "image"

# Right pictures of 60: what was measured, less a small margin for other machines and versions.
LEAST: Mapping[str, int] = {"background": 58, "colour": 58, "shape": 29, "count": 56}


def test_drawings_are_seen_as_what_they_are() -> None:
    """Whoever looks at the pixels must be right about pictures that are."""
    rng = random.Random(3)
    scenes = evaluate.held_out_scenes()
    scores = evaluate.score(scenes, [paint(scene, rng) for scene in scenes])
    assert scores == dict.fromkeys(LEAST, len(scenes))


def test_what_is_no_shape_is_seen_as_none() -> None:
    assert evaluate.look(Image.new("RGB", (128, 128), "white")).count == 0
    cross = Image.new("RGB", (128, 128), "white")
    cross.paste("red", (60, 20, 68, 108))
    cross.paste("red", (20, 60, 108, 68))
    assert evaluate.look(cross).shape == ""


def test_held_out_prompts_are_held_out() -> None:
    scenes = evaluate.held_out_scenes()
    assert all(scene.held_out for scene in scenes)
    assert {scene.shape for scene in scenes} == set(SHAPES)
    assert not Scene("circle", "red", "blue").held_out  # of the examples in README.md


@pytest.mark.filterwarnings("ignore")
def test_scores() -> None:
    scenes, rng = evaluate.held_out_scenes(), random.Random(7)
    pictures = evaluate.draw(evaluate.load(FOLDER), [describe(scene, rng) for scene in scenes])
    scores = evaluate.score(scenes, pictures)
    assert all(scores[name] >= least for name, least in LEAST.items()), scores
