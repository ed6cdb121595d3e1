"""Reading image files, one by one and as the uncached source of a data set's images."""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor
from torch.utils.data import get_worker_info
from torchvision.io import ImageReadMode, decode_jpeg

from lemur_caption.dataset.annotations import one_line
from lemur_caption.dataset.transforms import Norms, Plan, Transform, seeded, split, to_floats, to_pixels
from lemur_caption.errors import DatasetError

# What Pillow's decoders raise for a damaged file.
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_JPEG_START = b"\xff\xd8"


class BatchError(DatasetError):
    """An image or a batch that cannot be read while training runs.

    A DataLoader worker hands its exception on as the class called with a whole traceback; the last line of that is the message.
    """

    def __init__(self, message: str) -> None:
        last = message.strip().splitlines()[-1]
        super().__init__(last.removeprefix(f"{type(self).__module__}.{type(self).__qualname__}: "))


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Let Pillow refuse truncated files: another package may have asked it to fill what is missing with grey.

    The switch is the process's. Who decodes in several threads holds it around all of them, so that none puts it back too early.
    """
    tolerant = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def read_image(path: Path, draft: int | None = None) -> Image.Image:
    """The decoded image in RGB, whatever mode or format the file has.

    With `draft` a JPEG may come smaller, but no smaller than `draft` pixels a side: the whole file is still read, faster.
    Raises BatchError for a file that is absent, truncated or no image.
    """
    try:
        with strict_decoding(), Image.open(path) as image:
            if draft is not None:
                image.draft("RGB", (draft, draft))
            return image.convert("RGB")
    except FileNotFoundError:
        raise BatchError(f"image {path} is missing: restore it, or remove it from the caption file") from None
    except _DECODE_ERRORS as error:
        raise BatchError(f"image {path} is damaged ({one_line(error)}): copy it again from its source") from error


def read_pixels(path: Path) -> Tensor:
    """The decoded image, uint8 `[3, H, W]`, equal to `read_image(path)`, faster for JPEG files of three channels.

    DCT scaling (Pillow's draft mode) would save time, but moves pixels by up to 25 grey levels even where the scaled image has
    three times the side that a transform asks for, and by 8 at ten times: what a Net sees must not hang on the decoder.
    Raises BatchError as `read_image` does.
    """
    pixels = _read_colour_jpeg(path)
    return to_pixels(read_image(path)) if pixels is None else pixels


def _read_colour_jpeg(path: Path) -> Tensor | None:
    """The file as torchvision decodes it; None for whatever Pillow should read, or should name the fault of."""
    try:
        content = torch.from_numpy(np.fromfile(path, dtype=np.uint8))
        if content[:2].numpy().tobytes() != _JPEG_START:
            return None
        pixels: Tensor = decode_jpeg(content, mode=ImageReadMode.UNCHANGED)
    except (OSError, RuntimeError):
        return None
    return pixels if len(pixels) == 3 else None


class ImageSource(ABC):
    """Transformed images, float `[C, H, W]`, by their index."""

    plan: Plan

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def pixels(self, index: int) -> Tensor:
        """The image after the head of the plan, uint8 `[3, H, W]`. Raises IndexError past the end."""

    def __getitem__(self, index: int) -> Tensor:
        return self.plan.finish(self.pixels(index))

    def batch(self, indices: Sequence[int], seed: int) -> Tensor | InTransit | Order:
        """`[B, C, H, W]`; in a DataLoader's worker, what arrives as that in the main process.

        Random steps draw from `seed` and the place in the batch alone. Raises BatchError where shapes differ.
        """
        norms = self.plan.norms
        if norms is None:
            images = []
            with seeded(self.plan.random) as seed_draws:
                for position, index in enumerate(indices):
                    seed_draws(seed + position)
                    images.append(self[index])
            check_shapes(images)
            return torch.stack(images)
        images = [self.plan.flip(self.pixels(index), seed + position) for position, index in enumerate(indices)]
        check_shapes(images)
        return to_floats(images, norms) if get_worker_info() is None else InTransit(torch.stack(images), norms)


class InTransit:
    """A batch on its way from a worker: bytes, which become floats as they are unpickled.

    Floats would take four times the shared memory, and its page faults cost either process more than the arithmetic.
    """

    def __init__(self, pixels: Tensor, norms: Norms) -> None:
        self.pixels = pixels
        self.norms = norms

    def __reduce__(self) -> tuple[Any, ...]:
        return to_floats, (self.pixels, self.norms)


class Order:
    """A batch that a worker leaves to the main process, because it costs less to make than to send."""

    def __init__(self, images: ImageSource, indices: Sequence[int], seed: int) -> None:
        self.images = images
        self.indices = indices
        self.seed = seed

    def __reduce__(self) -> tuple[Any, ...]:
        return _fill, (self.images, self.indices, self.seed)


def _fill(images: ImageSource, indices: Sequence[int], seed: int) -> Any:
    return images.batch(indices, seed)


class ImageFiles(ImageSource):
    """Images that are read from their files each time."""

    def __init__(self, folder: Path, file_names: Sequence[str], transform: Transform) -> None:
        self.folder = folder
        self.file_names = file_names
        self.plan = split(transform)

    def __len__(self) -> int:
        return len(self.file_names)

    def pixels(self, index: int) -> Tensor:
        """Raises BatchError where the image cannot be read."""
        return self.plan.head(read_pixels(self.folder / self.file_names[index]))

    def __getitem__(self, index: int) -> Tensor:
        if self.plan.steps is None:
            return self.plan.transform(read_image(self.folder / self.file_names[index]))
        return super().__getitem__(index)


def check_shapes(images: Sequence[Tensor]) -> None:
    """Raise BatchError where images that should make a batch differ in shape."""
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        raise BatchError(
            f"the transform gives images of different shapes, {shapes[0]} and {shapes[-1]}: use one that crops, such as norm_64"
        )
