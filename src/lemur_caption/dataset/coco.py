"""Captioned images as PyTorch data sets, from any folder in COCO-2017 layout."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lemur_caption.dataset.annotations import CaptionedImage, read_annotations
from lemur_caption.dataset.images import BatchError, read_image
from lemur_caption.dataset.vocabulary import PAD, Vocabulary, tokenize
from lemur_caption.errors import DatasetError

# Channel means and standard deviations of ImageNet for images with values in [0, 1], as torchvision documents them.
IMAGENET_NORM = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAPTIONS_PER_IMAGE = 5
# `<SOS>` and `<EOS>` included. Hardly any caption of COCO is longer, and one of 300 words would multiply a batch's memory.
MAX_CAPTION_LENGTH = 50
# Up to this size a split is read in the training process (starting workers costs more), and every image is decoded
# once at set-up, so that a damaged file ends the run before training.
SMALL_SPLIT_IMAGES = 5_000

Transform = Callable[[Image.Image], Tensor]


class CaptionDataset(Dataset[tuple[Tensor, Tensor]]):
    """One split: item `i` is an image, float `[C, H, W]`, and its captions, long `[5, T]`, padded with 0.

    Images come by ascending image id. An image has exactly five caption rows: the first five of the file, or fewer and then
    rows of padding. Captions are encoded at set-up, images decoded when asked for.
    LEMUR reads the attributes `collate_fn` and, on a small split alone, `num_workers`.
    """

    def __init__(
        self,
        folder: Path,
        images: Sequence[CaptionedImage],
        tokens: Sequence[Sequence[Sequence[str]]],
        vocabulary: Vocabulary,
        transform: Transform,
    ) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.transform = transform
        self.image_ids = [image.image_id for image in images]
        self.file_names = [image.file_name for image in images]
        # One flat tensor for all captions: worker processes share it, which they cannot do with millions of small lists.
        ids: list[int] = []
        ends = [0]
        for captions in tokens:
            for caption in captions[:CAPTIONS_PER_IMAGE]:
                ids.extend(vocabulary.encode(caption, MAX_CAPTION_LENGTH))
                ends.append(len(ids))
            ends.extend([len(ids)] * (CAPTIONS_PER_IMAGE - len(captions)))
        self._ids = torch.tensor(ids, dtype=torch.int32)
        self._ends = torch.tensor(ends, dtype=torch.int64)
        if len(images) <= SMALL_SPLIT_IMAGES:
            self.num_workers = 0

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Raises BatchError where the image cannot be read, IndexError past the end."""
        return self.transform(read_image(self.folder / self.file_names[index])), self.labels(index)

    def labels(self, index: int) -> Tensor:
        """The captions of item `index` as ids, long `[5, T]`, without touching its image."""
        first = range(len(self))[index] * CAPTIONS_PER_IMAGE
        ends = self._ends[first : first + CAPTIONS_PER_IMAGE + 1].tolist()
        rows = [self._ids[start:end].long() for start, end in pairwise(ends)]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)

    @staticmethod
    def collate_fn(batch: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Images, float `[B, C, H, W]`, and captions, long `[B, 5, T]`, T the longest caption of the batch."""
        images = [image for image, _ in batch]
        shapes = sorted({tuple(image.shape) for image in images})
        if len(shapes) > 1:
            raise BatchError(
                f"the transform gives images of different shapes, {shapes[0]} and {shapes[-1]}: "
                "use one that crops, such as norm_64"
            )
        length = max(labels.shape[1] for _, labels in batch)
        captions = torch.full((len(batch), CAPTIONS_PER_IMAGE, length), PAD, dtype=torch.long)
        for row, (_, labels) in zip(captions, batch, strict=True):
            row[:, : labels.shape[1]] = labels
        return torch.stack(images), captions

    def check_images(self) -> None:
        """Find absent files by one listing of the folder; decode every file of a small split. Raises DatasetError."""
        try:
            with os.scandir(self.folder) as entries:
                present = {entry.name for entry in entries}
        except OSError as error:
            raise DatasetError(
                f"image folder {self.folder} cannot be read ({error.strerror}): put the images there"
            ) from error
        absent = [name for name in self.file_names if name not in present]
        if absent:
            raise DatasetError(
                f"{len(absent)} of {len(self)} images are missing from {self.folder} (first: {absent[0]}): "
                "restore them, or remove them from the caption file"
            )
        if len(self) <= SMALL_SPLIT_IMAGES:
            for name in self.file_names:
                read_image(self.folder / name, draft=1)


class CaptionSplits(NamedTuple):
    """What training needs of a caption folder; the vocabulary is that of the training captions."""

    vocabulary: Vocabulary
    train: CaptionDataset
    val: CaptionDataset


def load(folder: Path, transform: Transform) -> CaptionSplits:
    """Both splits of a folder in COCO-2017 layout; `transform` turns an RGB image into a float tensor `[C, H, W]`.

    The validation split is complete, and both come in a fixed order. Raises DatasetError, in one line, for whatever is wrong.
    """
    check_folder(folder)
    annotations = {
        split: read_annotations(folder / "annotations" / f"captions_{split}2017.json") for split in ("train", "val")
    }
    tokens = {
        split: [[tokenize(caption) for caption in image.captions] for image in images]
        for split, images in annotations.items()
    }
    vocabulary = Vocabulary.build([caption for captions in tokens["train"] for caption in captions])
    splits = {
        split: CaptionDataset(folder / f"{split}2017", images, tokens[split], vocabulary, transform)
        for split, images in annotations.items()
    }
    for dataset in splits.values():
        dataset.check_images()
    return CaptionSplits(vocabulary, splits["train"], splits["val"])


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
