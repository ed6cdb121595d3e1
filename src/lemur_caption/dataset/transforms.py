"""A transform's parts: what a cache can hold, and what runs anew on each sample."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F
from torchvision.transforms import transforms as T
from torchvision.transforms.v2 import functional as F2

Transform = Callable[[Image.Image], Tensor]

# Steps that give the same image for the same image. A subclass may do anything, so types are compared exactly.
_GEOMETRY = (T.Resize, T.CenterCrop, T.Pad)
# Steps that only move pixels, and the axis that they may turn.
_FLIPS = {T.RandomHorizontalFlip: -1, T.RandomVerticalFlip: -2}
_FIXED = (*_GEOMETRY, T.Grayscale, T.ToTensor, T.Normalize)
# Sides of images that a head must bring to one shape before a cache can hold them.
_PROBES = ((61, 97), (120, 50), (3, 400))


Norms = tuple[tuple[Any, Any], ...]
"""Means and deviations of channels, to be applied one after the other."""


@dataclass(frozen=True)
class Plan:
    """How a transform is carried out, with its result to within one grey level; `split` makes it.

    First `head`, which a cache can hold; then the rest, by `finish`. Where `norms` is given the rest is `flip`, on bytes, and
    then `to_floats`. `steps` is None for a transform that is no `Compose`: only `transform` itself can be called then.
    """

    transform: Transform
    head_steps: tuple[Any, ...] = ()
    steps: tuple[Any, ...] | None = None
    norms: Norms | None = None
    random: bool = True
    """Whether the transform may draw random numbers."""

    def head(self, pixels: Tensor) -> Tensor:
        """The deterministic first steps: uint8 `[3, H, W]` to the same of another size."""
        for step in self.head_steps:
            if type(step) is T.Resize and step.interpolation is InterpolationMode.BILINEAR:
                # Pillow's arithmetic on whole numbers, with vector instructions; always with antialias, as Pillow has it.
                pixels = F2.resize(pixels, step.size, max_size=step.max_size, antialias=True)
            elif type(step) is T.CenterCrop:
                pixels = step(pixels)
            else:
                pixels = to_pixels(step(to_image(pixels)))
        return pixels

    def finish(self, pixels: Tensor) -> Tensor:
        """The steps after the head: uint8 `[3, H, W]` to float `[C, H, W]`."""
        if self.norms is not None:
            return to_floats([self.flip(pixels)], self.norms)[0]
        image: Any = to_image(pixels)
        for step in self.steps or ():
            image = step(image)
        return image  # type: ignore[no-any-return]  # a Compose ends with whatever its last step gives

    def flip(self, pixels: Tensor, seed: int | None = None) -> Tensor:
        """The steps between the head and `to_floats`, on uint8 `[3, H, W]`. Draws from `seed`, or from torch's own generator."""
        generator = None if seed is None or not self.random else torch.Generator().manual_seed(seed)
        for step in self.steps or ():
            if type(step) in _FLIPS and torch.rand(1, generator=generator) < step.p:
                pixels = pixels.flip(_FLIPS[type(step)])
        return pixels

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """The head's shape `(3, H, W)` where it is the same for all images, else None."""
        shapes = {tuple(self.head(torch.zeros(3, *sides, dtype=torch.uint8)).shape) for sides in _PROBES}
        return shapes.pop() if len(shapes) == 1 else None  # type: ignore[return-value]  # three numbers, as a head keeps channels

    @property
    def key(self) -> str:
        """The head's steps with all their parameters."""
        return ", ".join(map(repr, self.head_steps))


def split(transform: Transform) -> Plan:
    """A transform's plan. Only a `torchvision.transforms.Compose` can be split; its steps may be nested."""
    if type(transform) is not T.Compose:
        return Plan(transform)
    steps = list(_flatten(transform))
    head = list(takewhile(lambda step: type(step) in _GEOMETRY, steps))
    rest = steps[len(head) :]
    floats = list(dropwhile(lambda step: type(step) in _FLIPS, rest))
    norms = None
    if floats and type(floats[0]) is T.ToTensor and all(type(step) is T.Normalize for step in floats[1:]):
        norms = tuple((step.mean, step.std) for step in floats[1:])
    return Plan(transform, tuple(head), tuple(rest), norms, any(type(step) not in _FIXED for step in steps))


def to_floats(images: Iterable[Tensor], norms: Norms) -> Tensor:
    """What `ToTensor` and then `Normalize` give of images uint8 `[3, H, W]` of one shape: float32 `[B, 3, H, W]`.

    A pixel has 256 values: looking each up in a table of what the two steps make of them is exact, goes over the batch once, and
    takes less than half the time of dividing and normalizing it.
    """
    images = list(images)
    table = _table(images[0].shape[0], norms)
    # NumPy asks for large pages, without which a batch costs as much in page faults as in arithmetic.
    floats = np.empty((len(images), *images[0].shape), dtype=np.float32)
    for place, pixels in zip(floats, images, strict=True):
        for channel, values in enumerate(pixels.numpy()):
            np.take(table[channel], values, out=place[channel], mode="clip")
    return torch.from_numpy(floats)


def _table(channels: int, norms: Norms) -> np.ndarray[Any, np.dtype[np.float32]]:
    """For each channel what the two steps make of the values 0 to 255: `[channels, 256]`."""
    values = torch.div(torch.arange(256, dtype=torch.uint8).expand(channels, 1, 256), 255)
    for mean, std in norms:
        values = F.normalize(values, mean, std)
    return values[:, 0].numpy()


def _flatten(transform: Any) -> Iterator[Any]:
    for step in transform.transforms:
        if type(step) is T.Compose:
            yield from _flatten(step)
        else:
            yield step


def to_image(pixels: Tensor) -> Image.Image:
    """uint8 `[3, H, W]` as an RGB image."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def to_pixels(image: Image.Image) -> Tensor:
    """An RGB image as uint8 `[3, H, W]`."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@contextmanager
def seeded(random_steps: bool) -> Iterator[Callable[[int], None]]:
    """Gives a function that seeds what transforms draw from: torch, `random` and NumPy. Their states come back at the end.

    Without `random_steps` nothing is seeded, which saves the time.
    """
    if not random_steps:
        yield lambda seed: None
        return
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield _seed_draws
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


def _seed_draws(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
