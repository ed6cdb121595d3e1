"""What a `shapes` image shows: sampling a scene, drawing it, and putting it into words."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

COLOURS = {
    "red": (225, 25, 30),
    "orange": (255, 140, 0),
    "yellow": (250, 225, 20),
    "green": (20, 150, 50),
    "blue": (25, 70, 225),
    "purple": (135, 30, 170),
    "pink": (255, 130, 190),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
# Radius as a share of the image's side, (least, most), by the number of objects in the scene.
RADII = {
    1: {"large": (0.27, 0.33), "small": (0.11, 0.14)},
    2: {"large": (0.20, 0.235), "small": (0.10, 0.125)},
    3: {"": (0.13, 0.15)},
}
PLACES = {"middle": (0.5, 0.5), "left": (0.22, 0.5), "right": (0.78, 0.5), "top": (0.5, 0.22), "bottom": (0.5, 0.78)}
SUPERSAMPLING = 3

# Wordings by kind of scene; five of a kind describe one image. {a}, {b}, {c} are the objects from left to right or from
# top to bottom, each "size colour shape"; the scene's words below replace the rest.
WORDINGS = {
    "single": (
        "a {a} {place}",
        "there is a {a} {place}",
        "the picture shows a {a} {place}",
        "one {a} {place} and nothing else",
        "we see only a {a} {place}",
        "a single {a} drawn {place}",
    ),
    "pair across": (
        "a {a} to the left of a {b}",
        "a {b} to the right of a {a}",
        "a {a} on the left and a {b} on the right",
        "there is a {a} beside a {b}",
        "the image contains a {a} next to a {b}",
        "two shapes side by side , a {a} and a {b}",
    ),
    "pair down": (
        "a {a} above a {b}",
        "a {b} below a {a}",
        "a {a} at the top and a {b} at the bottom",
        "there is a {b} just under a {a}",
        "the scene has a {a} over a {b}",
        "two shapes stacked , a {a} and then a {b}",
    ),
    "triple across": (
        "a {a} , a {b} and a {c} in a row",
        "three shapes from left to right , a {a} , a {b} and a {c}",
        "a {b} between a {a} on the left and a {c} on the right",
        "there is a row with a {a} , a {b} and a {c}",
        "first a {a} , then a {b} and last a {c} on the right",
        "the image contains a {a} , a {b} and a {c} side by side",
    ),
    "triple down": (
        "a {a} , a {b} and a {c} in a column",
        "three shapes from top to bottom , a {a} , a {b} and a {c}",
        "a {b} between a {a} at the top and a {c} at the bottom",
        "there is a column with a {a} , a {b} and a {c}",
        "first a {a} , then a {b} and last a {c} at the bottom",
        "the scene has a {a} , a {b} and a {c} stacked",
    ),
}
PLACE_WORDS = {
    "middle": "in the middle",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}


@dataclass(frozen=True)
class Shape:
    """One object; centre and radius as shares of the image's side."""

    size: str
    colour: str
    shape: str
    x: float
    y: float
    radius: float

    @property
    def words(self) -> str:
        return f"{self.size} {self.colour} {self.shape}".strip()


@dataclass(frozen=True)
class Scene:
    """Up to three objects before a plain background. `kind` is a key of WORDINGS, `place` the place of a lone object."""

    kind: str
    shapes: tuple[Shape, ...]
    place: str
    background: tuple[int, int, int]


def sample_scene(rng: random.Random) -> Scene:
    """A random scene; no two of its objects have the same colour, so that each can be told from the others."""
    count = rng.choices((1, 2, 3), weights=(3, 5, 2))[0]
    across = rng.random() < 0.5
    place = rng.choice(list(PLACES))
    if count == 1:
        kind, centres = "single", [PLACES[place]]
    else:
        steps = (0.27, 0.73) if count == 2 else (0.18, 0.5, 0.82)
        kind = f"{'pair' if count == 2 else 'triple'} {'across' if across else 'down'}"
        centres = [(step, 0.5) if across else (0.5, step) for step in steps]
    shapes = []
    for colour, (x, y) in zip(rng.sample(list(COLOURS), count), centres, strict=True):
        size = rng.choice(list(RADII[count]))
        radius = rng.uniform(*RADII[count][size])
        # Moves a little, but never out of the picture.
        x, y = (min(max(value + rng.uniform(-0.04, 0.04), radius + 0.01), 0.99 - radius) for value in (x, y))
        shapes.append(Shape(size, colour, rng.choice(SHAPES), x, y, radius))
    light = rng.randint(200, 245)
    background = (light, light - rng.randint(0, 12), light - rng.randint(0, 12))
    return Scene(kind, tuple(shapes), place, background)


def describe(scene: Scene, rng: random.Random) -> list[str]:
    """Five captions of different wording."""
    words = dict(zip("abc", (shape.words for shape in scene.shapes), strict=False))
    wordings = rng.sample(WORDINGS[scene.kind], 5)
    return [wording.format(place=PLACE_WORDS[scene.place], **words) for wording in wordings]


def draw(scene: Scene, size: int) -> Image.Image:
    """The scene in RGB, `size` pixels a side, with smooth edges."""
    side = size * SUPERSAMPLING
    image = Image.new("RGB", (side, side), scene.background)
    pen = ImageDraw.Draw(image)
    for shape in scene.shapes:
        _draw_shape(pen, shape, side, scene.background)
    return image.resize((size, size), Image.Resampling.BOX)


def _draw_shape(pen: ImageDraw.ImageDraw, shape: Shape, side: int, background: tuple[int, int, int]) -> None:
    x, y, r = shape.x * side, shape.y * side, shape.radius * side
    fill = COLOURS[shape.colour]

    def around(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x + r * dx, y + r * dy) for dx, dy in points]

    if shape.shape == "circle":
        pen.ellipse(around((-1, -1), (1, 1)), fill=fill)
    elif shape.shape == "ring":
        pen.ellipse(around((-1, -1), (1, 1)), fill=fill)
        pen.ellipse(around((-0.5, -0.5), (0.5, 0.5)), fill=background)
    elif shape.shape == "square":
        pen.rectangle(around((-0.85, -0.85), (0.85, 0.85)), fill=fill)
    elif shape.shape == "triangle":
        pen.polygon(around((0, -1), (0.95, 0.8), (-0.95, 0.8)), fill=fill)
    elif shape.shape == "cross":
        pen.rectangle(around((-1, -0.33), (1, 0.33)), fill=fill)
        pen.rectangle(around((-0.33, -1), (0.33, 1)), fill=fill)
    else:
        tips = [(math.pi * step / 5, 1.0 if step % 2 == 0 else 0.45) for step in range(10)]
        pen.polygon(around(*((length * math.sin(turn), -length * math.cos(turn)) for turn, length in tips)), fill=fill)
