"""Captioned images as PyTorch data sets, from any folder in COCO-2017 layout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lemur_caption.dataset import batches, image_cache
from lemur_caption.dataset.caption_cache import open_captions
from lemur_caption.dataset.captions import CaptionTable
from lemur_caption.dataset.image_check import check_images
from lemur_caption.dataset.images import ImageFiles
from lemur_caption.dataset.transforms import Transform
from lemur_caption.dataset.vocabulary import Vocabulary
from lemur_caption.errors import DatasetError

# Channel means and standard deviations of ImageNet for images with values in [0, 1], as torchvision documents them.
IMAGENET_NORM = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Up to this size a split is read in the training process (starting workers costs more), and every image is decoded
# once before training, so that a damaged file ends the run at once.
SMALL_SPLIT_IMAGES = 5_000


class CaptionDataset(Dataset[tuple[Tensor, Tensor]]):
    """One split: item `i` is an image, float `[C, H, W]`, and its captions, long `[5, T]`, padded with 0.

    Images come by ascending image id. An image has exactly five caption rows: the first five of the file, or fewer and then
    rows of padding. Where `one_caption` is set, batches hold one of the five, drawn anew each time, as their first row; where
    `bucketed` is, LEMUR's training batches hold images whose captions are about equally long.
    Captions were encoded at set-up; images come from the image cache of the transform, or are decoded when asked for.
    LEMUR reads the attributes `collate_fn` and, on a small split alone, `num_workers`.
    """

    collate_fn = staticmethod(batches.collate)

    def __init__(
        self,
        folder: Path,
        table: CaptionTable,
        vocabulary: Vocabulary,
        transform: Transform,
        *,
        one_caption: bool = False,
    ) -> None:
        self.folder = folder
        self.table = table
        self.vocabulary = vocabulary
        self.one_caption = one_caption
        self.bucketed = False
        cached = image_cache.find(folder, table.split, table.names, transform)
        self.images = cached or ImageFiles(folder / f"{table.split}2017", table.names, transform)
        # Workers gain nothing where images are copied, not decoded.
        if len(table) <= SMALL_SPLIT_IMAGES or (cached is not None and cached.plan.norms is not None):
            self.num_workers = 0

    @property
    def cached(self) -> bool:
        """Whether the images come from an image cache, made of the files as they are now."""
        return isinstance(self.images, image_cache.CachedImages)

    @cached_property
    def image_ids(self) -> list[int]:
        ids: list[int] = self.table.arrays["image_ids"].tolist()
        return ids

    @cached_property
    def file_names(self) -> list[str]:
        return list(self.table.names)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Raises BatchError where the image cannot be read, IndexError past the end."""
        return self.images[range(len(self))[index]], self.labels(index)

    def __getitems__(self, indices: Sequence[int]) -> batches.Batch:
        """A whole batch, which a DataLoader prefers. Raises as `__getitem__` does, and BatchError where image shapes differ."""
        return batches.fetch(self.images, self._ids, self._ends, indices, one_caption=self.one_caption)

    def labels(self, index: int) -> Tensor:
        """The captions of item `index` as ids, long `[5, T]`, without touching its image."""
        return batches.labels(self._ids, self._ends, [range(len(self))[index]])[0]

    @property
    def _ids(self) -> Tensor:
        return torch.from_numpy(self.table.arrays["ids"])

    @property
    def _ends(self) -> Tensor:
        return torch.from_numpy(self.table.arrays["ends"])

    def __getstate__(self) -> dict[str, Any]:
        """Without the lists that can be made again."""
        return {name: value for name, value in self.__dict__.items() if name not in ("image_ids", "file_names")}

    @property
    def lengths(self) -> Tensor:
        """Each item's longest caption in tokens, long `[N]`."""
        return batches.caption_lengths(self._ends)

    def check_images(self) -> None:
        """Find absent files; decode those of a small split that have not been. Raises DatasetError."""
        check_images(self.folder, self.table.split, self.table.names, decode=len(self) <= SMALL_SPLIT_IMAGES)


class CaptionSplits(NamedTuple):
    """What training needs of a caption folder; the vocabulary is that of the training captions."""

    vocabulary: Vocabulary
    train: CaptionDataset
    val: CaptionDataset


def load(folder: Path, transform: Transform, *, one_caption: bool = False) -> CaptionSplits:
    """Both splits of a folder in COCO-2017 layout; `transform` turns an RGB image into a float tensor `[C, H, W]`.

    The validation split is complete, and both come in a fixed order. With `one_caption` training batches hold one random caption
    an image, see `CaptionDataset`. Raises DatasetError, in one line, for whatever is wrong.
    """
    check_folder(folder)
    captions = open_captions(folder)
    train = CaptionDataset(folder, captions.train, captions.vocabulary, transform, one_caption=one_caption)
    val = CaptionDataset(folder, captions.val, captions.vocabulary, transform)
    for dataset in (train, val):
        # An image cache was made of these very files.
        if not dataset.cached:
            dataset.check_images()
    return CaptionSplits(captions.vocabulary, train, val)


def prepare_captions(folder: Path) -> None:
    """Do once, where the folder can be written, what `load` would do again in every process that may only read it.

    Raises DatasetError as `load` does.
    """
    check_folder(folder)
    captions = open_captions(folder)
    for table in (captions.train, captions.val):
        check_images(folder, table.split, table.names, decode=len(table) <= SMALL_SPLIT_IMAGES)


def check_folder(folder: Path) -> None:
    """Raise DatasetError unless `folder` is a readable directory that holds something."""
    try:
        empty = next(folder.iterdir(), None) is None
    except FileNotFoundError:
        raise DatasetError(f"dataset folder {folder} does not exist: put a dataset in COCO-2017 layout there") from None
    except OSError as error:
        raise DatasetError(f"dataset folder {folder} cannot be read ({error.strerror})") from error
    if empty:
        raise DatasetError(f"dataset folder {folder} is empty: put a dataset in COCO-2017 layout there")
