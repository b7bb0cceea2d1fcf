"""What demo-image learns: scenes of coloured shapes, the pictures that a program draws of them, and their captions."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from PIL import Image, ImageDraw

SIDE_PX = 128
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 170, 60),
    "blue": (40, 70, 220),
    "yellow": (240, 215, 40),
    "purple": (140, 50, 180),
    "orange": (245, 140, 30),
    "black": (20, 20, 20),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "star")
PLACES = {"centre": (64, 64), "left": (38, 64), "right": (90, 64), "top": (64, 38), "bottom": (64, 90)}
RADII_PX = {"small": 20, "medium": 33, "big": 46}
LAYOUTS = {2: ((36, 64), (92, 64)), 3: ((64, 35), (33, 90), (95, 90))}
"""Centres of several shapes in one picture."""
SMOOTHING = 3
"""Pictures are drawn this much larger and scaled down, for smooth edges."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture in words."""

    shape: str
    colour: str
    background: str
    place: str = "centre"
    size: str = "medium"
    count: int = 1

    @property
    def held_out(self) -> bool:
        """Whether no picture with this shape, colour and background is in the training data: about one in eight."""
        return sha256(f"{self.shape} {self.colour} {self.background}".encode()).digest()[0] % 8 == 0


def draw_scene(rng: random.Random) -> Scene:
    """Returns any scene: half of them one shape in the middle, the others elsewhere, of another size, or several."""
    shape = rng.choice(SHAPES)
    colour, background = rng.sample(list(COLOURS), 2)
    kind = rng.random()
    if kind < 0.25:
        return Scene(shape, colour, background, place=rng.choice([place for place in PLACES if place != "centre"]))
    if kind < 0.45:
        return Scene(shape, colour, background, size=rng.choice(("small", "big")))
    if kind < 0.52:
        return Scene(shape, colour, background, rng.choice(list(PLACES)), "small")
    if kind < 0.7:
        return Scene(shape, colour, background, count=rng.choice(list(LAYOUTS)))
    return Scene(shape, colour, background)


def training_scenes(rng: random.Random) -> Iterator[Scene]:
    """Yields scenes without end, none of them held out."""
    while True:
        scene = draw_scene(rng)
        if not scene.held_out:
            yield scene


def paint(scene: Scene, rng: random.Random) -> Image.Image:
    """Returns a picture of a scene. Place and size vary a little."""
    side = SIDE_PX * SMOOTHING
    picture = Image.new("RGB", (side, side), COLOURS[scene.background])
    pen = ImageDraw.Draw(picture)
    centres = LAYOUTS.get(scene.count, (PLACES[scene.place],))
    radius = RADII_PX[scene.size] * rng.uniform(0.97, 1.03) * (1.0 if scene.count == 1 else 0.7)
    for x, y in centres:
        at = (x + rng.uniform(-1, 1)) * SMOOTHING, (y + rng.uniform(-1, 1)) * SMOOTHING
        outline(pen, scene.shape, at, radius * SMOOTHING, COLOURS[scene.colour])
    return picture.reduce(SMOOTHING)


def outline(
    pen: ImageDraw.ImageDraw, shape: str, at: tuple[float, float], radius: float, fill: tuple[int, int, int] | int
) -> None:
    """Draws a shape in the middle of its place."""
    x, y = at
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill)
    elif shape == "square":
        half = radius * 0.86
        pen.rectangle((x - half, y - half, x + half, y + half), fill)
    elif shape == "triangle":
        pen.polygon([(x, y - radius), (x - radius, y + radius * 0.8), (x + radius, y + radius * 0.8)], fill)
    else:
        tips = [(radius if i % 2 == 0 else radius * 0.42, i * math.pi / 5) for i in range(10)]
        pen.polygon([(x + r * math.sin(turn), y - r * math.cos(turn)) for r, turn in tips], fill)


OPENINGS = ("", "", "", "draw ", "a picture of ", "an image of ", "please draw ", "paint ", "show me ")
COUNTS = {1: ("a", "a", "a", "one", "", "the"), 2: ("two", "two", "2"), 3: ("three", "three", "3")}
SIZES = {"small": ("small", "little", "tiny"), "medium": ("",), "big": ("big", "large", "huge")}
PLACE_WORDS = {
    "centre": ("", "", "", "in the middle", "in the center", "in the centre"),
    "left": ("on the left", "at the left", "on the left side"),
    "right": ("on the right", "at the right", "on the right side"),
    "top": ("at the top", "on top"),
    "bottom": ("at the bottom",),
}
GROUNDS = (
    " on a {} background",
    " on a {} background",
    " on {}",
    ", {} background",
    " with a {} background",
    " in front of {}",
    " on {} paper",
)
ENDINGS = ("", "", "", "", ".", ", simple", ", digital art")


def describe(scene: Scene, rng: random.Random) -> str:
    """Returns one of the many captions of a scene."""
    words = [
        rng.choice(COUNTS[scene.count]),
        rng.choice(SIZES[scene.size]),
        scene.colour,
        scene.shape + ("s" if scene.count > 1 else ""),
        rng.choice(PLACE_WORDS[scene.place]) if scene.count == 1 else "",
    ]
    if words[0] == "a" and not words[1] and scene.colour == "orange":
        words[0] = "an"
    ground = rng.choice(GROUNDS).format(scene.background)
    if "background" in ground and scene.background == "orange":
        ground = ground.replace(" a orange", " an orange")
    # A picture whose background nobody names is on white, or on black where the shape is white.
    if scene.background == ("black" if scene.colour == "white" else "white") and rng.random() < 0.5:
        ground = ""
    return rng.choice(OPENINGS) + " ".join(filter(None, words)) + ground + rng.choice(ENDINGS)
