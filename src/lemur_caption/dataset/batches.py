"""Batches of images and captions, the same for the same seed whatever the number of workers.

A data set hands a whole batch to its loader at once (`__getitems__`), which saves most of the Python that a sample costs.
Random transforms and the random caption are seeded by the batch's own indices: the loader's sampler draws them in the main
process, anew in each epoch, so no worker's state enters. A loader that does not shuffle, or whose batches are single images,
therefore repeats an image's draws in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from lemur_caption.dataset.captions import CAPTIONS_PER_IMAGE
from lemur_caption.dataset.images import ImageSource, check_shapes
from lemur_caption.dataset.vocabulary import PAD

# Batches that are sorted by length together: enough to save most padding, few enough to leave an epoch random.
POOL_BATCHES = 50


class Batch(NamedTuple):
    """Images, float `[B, C, H, W]`, and captions, long `[B, 5, T]`, padded with 0."""

    images: Tensor
    captions: Tensor

    def __reduce__(self) -> tuple[Any, ...]:
        # From a worker a small tensor travels faster inside the message than as shared memory of its own.
        return _unpickled, (self.images, self.captions.numpy())


def _unpickled(images: Tensor, captions: np.ndarray) -> Batch:
    return Batch(images, torch.from_numpy(captions))


def fetch(
    images: ImageSource, ids: Tensor, ends: Tensor, indices: Sequence[int], *, one_caption: bool = False
) -> Batch:
    """The batch of these items, for a data set's `__getitems__`; `ids`, `ends` and `one_caption` as in `labels`."""
    seed = batch_seed(indices)
    # In a worker the images are bytes until the main process unpickles them.
    return Batch(cast(Tensor, images.batch(indices, seed)), labels(ids, ends, indices, seed if one_caption else None))


def labels(ids: Tensor, ends: Tensor, indices: Sequence[int], one_of: int | None = None) -> Tensor:
    """Captions of these items, long `[B, 5, T]`, T the longest of them, by slices of one flat array.

    Row r of item i is `ids[ends[5i + r] : ends[5i + r + 1]]`; rows that an item lacks are empty and come last.
    With the seed `one_of` each item keeps one of its captions, drawn at random, as its first row; the other four are padding.
    """
    rows = torch.as_tensor(indices)[:, None] * CAPTIONS_PER_IMAGE + torch.arange(CAPTIONS_PER_IMAGE)
    starts = ends[rows]
    lengths = ends[rows + 1] - starts
    if one_of is not None:
        draws = torch.rand(len(rows), generator=torch.Generator().manual_seed(one_of))
        # The draw is below 1, but its product with the count may round up to it.
        counts = (lengths > 0).sum(dim=1)
        chosen = torch.minimum((draws * counts).long(), (counts - 1).clamp(min=0))[:, None]
        starts = starts.gather(1, chosen).expand(-1, CAPTIONS_PER_IMAGE)
        lengths = lengths.gather(1, chosen) * (torch.arange(CAPTIONS_PER_IMAGE) == 0)
    steps = torch.arange(int(lengths.max()))
    present = steps < lengths[..., None]
    captions = torch.full(present.shape, PAD, dtype=torch.long)
    captions[present] = ids[(starts[..., None] + steps)[present]].long()
    return captions


def collate(samples: Batch | Sequence[tuple[Tensor, Tensor]]) -> Batch:
    """A `Batch` as it is, or samples (image, captions `[5, T]`) made into one. Raises BatchError where image shapes differ."""
    if isinstance(samples, Batch):
        return samples
    length = max(rows.shape[1] for _, rows in samples)
    captions = torch.full((len(samples), CAPTIONS_PER_IMAGE, length), PAD, dtype=torch.long)
    for place, (_, rows) in zip(captions, samples, strict=True):
        place[:, : rows.shape[1]] = rows
    images = [image for image, _ in samples]
    check_shapes(images)
    return Batch(torch.stack(images), captions)


def batch_seed(indices: Sequence[int]) -> int:
    """A seed of 63 bits made of a batch's indices and their order."""
    digest = blake2b(torch.as_tensor(indices, dtype=torch.int64).numpy().tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class BucketedBatches(Sampler[list[int]]):
    """Batches of items whose captions are about equally long, for `DataLoader(..., batch_sampler=...)`.

    `lengths` holds each item's longest caption, in tokens. Each epoch shuffles the items, sorts runs of 50 batches by length, and
    shuffles the batches; every item comes once. Draws from `generator`, or from torch's own in the main process.
    """

    def __init__(self, lengths: Tensor, batch_size: int, generator: torch.Generator | None = None) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self.lengths), generator=self.generator)
        batches: list[Tensor] = []
        for pool in torch.split(order, self.batch_size * POOL_BATCHES):
            batches += torch.split(pool[self.lengths[pool].argsort()], self.batch_size)
        for position in torch.randperm(len(batches), generator=self.generator).tolist():
            yield batches[position].tolist()


def caption_lengths(ends: Tensor) -> Tensor:
    """The longest caption of each item, long `[N]`, from the `ends` of `labels`."""
    return ends.diff().view(-1, CAPTIONS_PER_IMAGE).amax(dim=1)
