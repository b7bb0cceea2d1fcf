"""Asks demo-image for pictures that training never saw, and looks at their pixels.

    python -m models.demo.make_image.evaluate [FOLDER] [--grid FILE]

A prompt is held out if no picture of the training data had its shape, colour and background together.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from scipy import ndimage

from models.demo.make_image.scenes import COLOURS, SHAPES, SIDE_PX, Scene, describe, draw_scene, outline

PROMPTS = 60
STEPS = 12
BORDER_PX = 6
LEAST_SHARE = 0.004
"""Of the picture's pixels that a shape must have."""
LEAST_OVERLAP = 0.7
"""Of a shape with the drawing of it, intersection by union; what is below is none of the shapes."""
CALL = {"height": SIDE_PX, "width": SIDE_PX, "num_inference_steps": STEPS, "max_sequence_length": 4}

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a picture shows. `shape` is empty where it is none that is known."""

    background: str
    colour: str
    shape: str
    count: int


def held_out_scenes() -> list[Scene]:
    """Returns the scenes to ask for: equally many of each shape."""
    rng = random.Random(99)
    found: dict[str, list[Scene]] = {shape: [] for shape in SHAPES}
    each = PROMPTS // len(SHAPES)
    while any(len(scenes) < each for scenes in found.values()):
        scene = draw_scene(rng)
        if scene.held_out and len(found[scene.shape]) < each:
            found[scene.shape].append(scene)
    return [scene for scenes in found.values() for scene in scenes]


def look(picture: Image.Image) -> Seen:
    """Returns what the pixels of a picture show."""
    names = list(COLOURS)
    palette = np.array([COLOURS[name] for name in names], dtype=np.float32)
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    nearest = ((pixels[:, :, None] - palette) ** 2).sum(axis=3).argmin(axis=2)
    frame = np.ones(nearest.shape, dtype=bool)
    frame[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = False
    background = int(np.bincount(nearest[frame]).argmax())
    # What lies on an edge has a colour between two: it is told apart by which of the two it is nearer to.
    others = np.bincount(nearest[nearest != background], minlength=len(names))
    colour = int(others.argmax())
    to_colour, to_ground = (((pixels - palette[i]) ** 2).sum(axis=2) for i in (colour, background))
    labels, count = ndimage.label(to_colour < to_ground)
    parts = [np.asarray(labels == i) for i in range(1, count + 1)]
    parts = [part for part in parts if part.mean() >= LEAST_SHARE]
    if not parts:
        return Seen(names[background], "", "", 0)
    shapes = {shape_of(part) for part in parts}
    return Seen(names[background], names[colour], shapes.pop() if len(shapes) == 1 else "", len(parts))


def shape_of(part: Mask) -> str:
    """Returns the shape whose drawing, as large as the part, lies over it best; empty if none does well."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    cut = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    overlaps = {shape: _overlap(cut, _drawing(shape, cut.shape)) for shape in SHAPES}
    best = max(overlaps, key=lambda shape: overlaps[shape])
    return best if overlaps[best] >= LEAST_OVERLAP else ""


def _drawing(shape: str, size: tuple[int, ...]) -> Mask:
    large = Image.new("L", (256, 256), 0)
    outline(ImageDraw.Draw(large), shape, (128, 128), 100, 255)
    box = large.getbbox()
    return np.asarray(large.crop(box).resize((size[1], size[0]))) > 127


def _overlap(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / (first | second).sum())


def load(folder: Path) -> Any:
    """Returns the pipeline, in float32."""
    from diffusers import FluxPipeline

    pipeline: Any = FluxPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Any, prompts: Sequence[str]) -> list[Image.Image]:
    """Returns a picture for each prompt; the seeds are their places."""
    found: list[Image.Image] = []
    for i, prompt in enumerate(prompts):
        generator = torch.Generator().manual_seed(i)
        found += pipeline(prompt, generator=generator, **CALL).images
    return found


def score(scenes: Sequence[Scene], pictures: Sequence[Image.Image]) -> dict[str, int]:
    """Returns in how many pictures each property is right."""
    seen = [look(picture) for picture in pictures]
    names = ("background", "colour", "shape", "count")
    pairs = list(zip(scenes, seen, strict=True))
    return {name: sum(getattr(scene, name) == getattr(one, name) for scene, one in pairs) for name in names}


def grid(pictures: Sequence[Image.Image], columns: int, side_px: int = 64) -> Image.Image:
    """Returns small pictures side by side."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side_px, rows * side_px), "gray")
    for i, picture in enumerate(pictures):
        place = i % columns * side_px, i // columns * side_px
        sheet.paste(picture.resize((side_px - 2, side_px - 2)), place)
    return sheet


def main() -> None:
    """Prints the scores, and writes the grid if one is wanted."""
    parser = argparse.ArgumentParser(description="Scores demo-image on held-out prompts.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parents[1] / "image")
    parser.add_argument("--grid", type=Path)
    flags = parser.parse_args()
    scenes = held_out_scenes()
    rng = random.Random(7)
    pictures = draw(load(flags.folder), [describe(scene, rng) for scene in scenes])
    for name, right in score(scenes, pictures).items():
        print(f"{name:10} {right}/{len(scenes)}")
    if flags.grid:
        grid(pictures, 12).quantize(64).save(flags.grid, optimize=True)


if __name__ == "__main__":
    main()
