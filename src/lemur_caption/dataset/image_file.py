"""A split's images, decoded and resized, in one memory-mapped file: an epoch then decodes nothing.

The file holds what the deterministic first steps of a transform give (`Plan.head`), so transforms that share them share a file:

    <cache folder>/images-<split>-<H>x<W>-<digest of the steps>.u8
    header      JSON in one line, padded with blanks to a multiple of 4096 bytes
    pixels      uint8 [N, 3, H, W]

A file of that name is complete: it is written under another one and renamed at the end (see `image_build`). It is used only if
its header is the one expected, in which the name, size and time of change of every image file count.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from lemur_caption.dataset.cache_folder import cache_folder
from lemur_caption.dataset.images import BatchError, ImageSource, InTransit, Order
from lemur_caption.dataset.transforms import Plan, Transform, split
from lemur_caption.errors import DatasetError

# Raise when the file's layout, or what decoding and resizing give, changes.
FORMAT = 1
PAGE = 4096


@dataclass(frozen=True)
class Layout:
    """Where the cache of a split and a transform lies, and what its header must be."""

    path: Path
    header: bytes
    shape: tuple[int, int, int, int]
    plan: Plan

    @property
    def bytes(self) -> int:
        return len(self.header) + math.prod(self.shape)

    @property
    def part(self) -> Path:
        """The file while it is being written."""
        return self.path.with_suffix(".part")

    @property
    def done(self) -> Path:
        """One byte a block of images: 1 once the block is on the disk."""
        return self.path.with_suffix(".done")


def layout(data_folder: Path, split_name: str, file_names: Sequence[str], transform: Transform) -> Layout:
    """Raises DatasetError where no cache can serve the transform, and BatchError where an image is absent."""
    plan = split(transform)
    if plan.steps is None:
        raise DatasetError(
            "no image cache can serve this transform: it is no torchvision Compose, so its steps are not known"
        )
    shape = plan.shape
    if shape is None:
        raise DatasetError(
            "no image cache can serve this transform: its steps before the first random one give images of different shapes; "
            "begin with Resize((H, W)), or with Resize(S) and CenterCrop(S)"
        )
    content = {
        "format": FORMAT,
        "split": split_name,
        "steps": plan.key,
        "shape": [len(file_names), *shape],
        "files": files_digest(data_folder / f"{split_name}2017", file_names),
    }
    header = json.dumps(content).encode() + b"\n"
    name = f"images-{split_name}-{shape[1]}x{shape[2]}-{blake2b(plan.key.encode(), digest_size=4).hexdigest()}.u8"
    return Layout(
        cache_folder(data_folder) / name,
        header.ljust(-(-len(header) // PAGE) * PAGE),
        (len(file_names), *shape),
        plan,
    )


def files_digest(folder: Path, file_names: Sequence[str]) -> str:
    """Of all names, sizes and times of change."""
    digest = blake2b(digest_size=16)
    prefix = f"{folder}/"
    for name in file_names:
        try:
            found = os.stat(prefix + name)  # noqa: PTH116 - a third of the time of a Path, 120,000 times
        except OSError as error:
            raise BatchError(
                f"image {prefix}{name} cannot be read ({error.strerror}): restore it, or remove it from the caption file"
            ) from None
        digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


class CachedImages(ImageSource):
    """Transformed images `[C, H, W]` by their index, from a cache file that all processes share in memory.

    A pickle holds the file's name and no data; unpickled, it raises BatchError where the file has been replaced since.
    """

    def __init__(self, expected: Layout) -> None:
        """Raises BatchError where the file is absent, or is not the one expected."""
        self._set(expected, _map(expected))

    def _set(self, expected: Layout, pixels: Tensor) -> None:
        self.layout = expected
        self.plan = expected.plan
        self._pixels = _mapped[str(expected.path), expected.header] = pixels

    def __getstate__(self) -> Layout:
        return self.layout

    def __setstate__(self, expected: Layout) -> None:
        pixels = _mapped.get((str(expected.path), expected.header))
        self._set(expected, _map(expected) if pixels is None else pixels)

    def __len__(self) -> int:
        return len(self._pixels)

    def pixels(self, index: int) -> Tensor:
        return self._pixels[range(len(self))[index]]

    def batch(self, indices: Sequence[int], seed: int) -> Tensor | InTransit | Order:
        if self.plan.norms is not None and get_worker_info() is not None:
            return Order(self, indices, seed)
        return super().batch(indices, seed)


# The mappings of this process, which unpickled copies share.
_mapped: WeakValueDictionary[tuple[str, bytes], Tensor] = WeakValueDictionary()


def _map(expected: Layout) -> Tensor:
    try:
        with expected.path.open("rb") as file:
            found = file.read(len(expected.header))
            size = file.seek(0, 2)
            if found != expected.header or size != expected.bytes:
                raise BatchError(
                    f"image cache {expected.path} is not the one expected: run `lemur-caption data prepare`"
                )
            # Copy on write, because torch wants memory that may be written. Nothing writes.
            pixels = np.memmap(file, np.uint8, mode="c", offset=len(expected.header), shape=expected.shape)
    except OSError as error:
        raise BatchError(f"image cache {expected.path} cannot be read ({error.strerror})") from error
    return torch.from_numpy(pixels)
