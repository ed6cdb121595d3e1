"""Batches: captions by slicing, one caption an image, equal lengths, and the same numbers whatever the workers."""

import random
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torchvision import transforms

from lemur_caption.dataset import coco, image_cache
from lemur_caption.dataset.batches import Batch, BucketedBatches, batch_seed, caption_lengths, collate, fetch, labels
from lemur_caption.dataset.images import BatchError, ImageFiles, Order
from lemur_caption.dataset.vocabulary import EOS, SOS

# Captions of five images, as words' ids; the fourth image has two captions.
CAPTIONS = [
    [[4], [5, 6], [7, 8, 9], [4, 4], [5]],
    [[6], [7], [8], [9], [4, 5, 6, 7]],
    [[9, 8, 7, 6, 5, 4, 9], [4], [5], [6], [7]],
    [[4, 9], [5, 9, 9]],
    [[8], [8, 8], [8, 8, 8], [8, 8, 8, 8], [8, 8, 8, 8, 8]],
]


def flat(captions):
    """`ids` and `ends` of captions, as a caption table lays them out."""
    ids, ends = [], [0]
    for rows in captions:
        for row in range(5):
            if row < len(rows):
                ids += [SOS, *rows[row], EOS]
            ends.append(len(ids))
    return torch.tensor(ids, dtype=torch.int32), torch.tensor(ends)


IDS, ENDS = flat(CAPTIONS)


def rows_of(tensor):
    return [[row[row != 0].tolist() for row in rows] for rows in tensor]


@pytest.mark.parametrize("indices", [[0], [3, 1], [4, 2, 0, 3, 1], [2, 2]])
def test_labels_are_the_captions_padded_to_the_longest(indices):
    found = labels(IDS, ENDS, indices)
    expected = [[[SOS, *row, EOS] for row in CAPTIONS[index]] + [[]] * (5 - len(CAPTIONS[index])) for index in indices]
    assert found.dtype == torch.int64
    assert found.shape == (len(indices), 5, max(len(row) for rows in expected for row in rows))
    assert rows_of(found) == expected


def test_labels_of_an_index_past_the_end():
    with pytest.raises(IndexError):
        labels(IDS, ENDS, [0, 5])


def test_one_caption_is_drawn_evenly_from_those_that_an_image_has():
    drawn = {index: [] for index in range(5)}
    for seed in range(1000):
        found = labels(IDS, ENDS, range(5), one_of=seed)
        assert not found[:, 1:].any()
        assert found[:, 0, -1].any()
        for index, row in enumerate(found[:, 0]):
            drawn[index].append(tuple(row[row != 0].tolist()))
    for index, rows in drawn.items():
        expected = [(SOS, *row, EOS) for row in CAPTIONS[index]]
        assert set(rows) == set(expected)
        for row in expected:
            assert rows.count(row) == pytest.approx(1000 / len(expected), abs=80)
    assert labels(IDS, ENDS, [0, 3], one_of=5).equal(labels(IDS, ENDS, [0, 3], one_of=5))


def test_batch_seeds_differ():
    seeds = {batch_seed(indices) for indices in ([0, 1], [1, 0], [0], [1], [0, 1, 2], [10, 2**40])}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


# --- batches of equal length


def test_bucketed_batches_hold_every_item_once_and_little_padding():
    lengths = torch.randint(5, 40, (5003,), generator=torch.Generator().manual_seed(0))
    batches = list(BucketedBatches(lengths, 16, torch.Generator().manual_seed(1)))
    assert len(batches) == len(BucketedBatches(lengths, 16)) == 313
    assert sorted(len(batch) for batch in batches) == [11] + [16] * 312
    assert sorted(chain(*batches)) == list(range(5003))

    def padding(batches):
        return sum(int((lengths[batch].max() - lengths[batch]).sum()) for batch in batches)

    shuffled = torch.randperm(5003, generator=torch.Generator().manual_seed(2)).split(16)
    assert padding(batches) < 0.2 * padding(shuffled)
    # Batches of short captions do not come first.
    assert 20 < lengths[list(chain(*batches[:100]))].float().mean() < 24


def test_bucketed_batches_follow_the_seed():
    lengths = torch.arange(100) % 7

    def epochs(seed):
        torch.manual_seed(seed)
        sampler = BucketedBatches(lengths, 8)
        return [list(sampler), list(sampler)]

    assert epochs(3) == epochs(3)
    assert epochs(3) != epochs(4)
    assert epochs(3)[0] != epochs(3)[1]


def test_the_longest_caption_of_each_image():
    assert caption_lengths(ENDS).tolist() == [5, 6, 9, 5, 7]


# --- loaders


class Items(Dataset):
    """What a data set does with `fetch` and `collate`."""

    def __init__(self, images, one_caption=False):
        self.images = images
        self.one_caption = one_caption

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], labels(IDS, ENDS, [index % 5])[0]

    def __getitems__(self, indices):
        batch = fetch(self.images, IDS, ENDS, [index % 5 for index in indices], one_caption=self.one_caption)
        return batch._replace(images=self.images.batch(indices, batch_seed(indices)))


class Noise:
    """A transform of somebody's own, with random numbers from everywhere."""

    def __call__(self, image):
        shift = random.random() + np.random.random() + torch.rand(1).item()
        return transforms.functional.to_tensor(image) + shift


PLAIN = [transforms.Resize((24, 24)), transforms.ToTensor(), transforms.Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))]
KINDS = {
    "plain": transforms.Compose(PLAIN),
    "flip": transforms.Compose([PLAIN[0], transforms.RandomHorizontalFlip(), *PLAIN[1:]]),
    "jitter": transforms.Compose(
        [PLAIN[0], transforms.ColorJitter(0.4, 0.4), transforms.RandomRotation(20), *PLAIN[1:]]
    ),
    "crop first": transforms.Compose([transforms.RandomResizedCrop(24), *PLAIN[1:]]),
    "own step": transforms.Compose([PLAIN[0], Noise()]),
    "no compose": Noise(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batches")
    (folder / "train2017").mkdir()
    for index in range(13):
        noise = np.random.default_rng(index).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "train2017" / f"{index}.png")
    return folder


def sources(folder, transform):
    names = [f"{index}.png" for index in range(13)]
    yield ImageFiles(folder / "train2017", names, transform)
    if image_cache.find(folder, "train", names, KINDS["plain"]) is None:
        image_cache.prepare(folder, "train", names, KINDS["plain"])
    if (cached := image_cache.find(folder, "train", names, transform)) is not None:
        yield cached


def two_epochs(images, seed, workers, one_caption=False, **options):
    torch.manual_seed(seed)
    loader = DataLoader(
        Items(images, one_caption), batch_size=4, shuffle=True, num_workers=workers, collate_fn=collate, **options
    )
    return [list(loader), list(loader), torch.rand(2)]


def same(first, second):
    if not first[2].equal(second[2]):
        return False
    pairs = [pair for epoch in (0, 1) for pair in zip(first[epoch], second[epoch], strict=True)]
    return all(a.images.equal(b.images) and torch.equal(a.captions, b.captions) for a, b in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_epochs_are_the_same_whatever_the_number_of_workers(folder, kind):
    found = list(sources(folder, KINDS[kind]))
    assert len(found) == (1 if kind in ("crop first", "no compose") else 2)
    expected = two_epochs(found[0], 7, workers=0, one_caption=True)
    for images in found:
        for workers in (0, 1, 2) if len(found) == 1 or images is found[-1] else (2,):
            # What the main process drew elsewhere must not matter.
            random.seed(workers)
            np.random.seed(workers)
            assert same(two_epochs(images, 7, workers, one_caption=True), expected)
        assert not same(two_epochs(images, 8, workers=0, one_caption=True), expected)


@pytest.mark.parametrize("kind", ["flip", "jitter", "own step"])
def test_an_image_is_transformed_anew_in_each_epoch(folder, kind):
    images = list(sources(folder, KINDS[kind]))[-1]
    seen = [{}, {}]
    for epoch, batches in enumerate(two_epochs(images, 0, workers=0)[:2]):
        assert sum(len(batch.images) for batch in batches) == 13
        for batch in batches:
            for image in batch.images:
                seen[epoch][round(image.sum().item(), 3)] = image
    assert any(not any(image.equal(other) for other in seen[1].values()) for image in seen[0].values())


class Peek(Items):
    def __getitems__(self, indices):
        batch = super().__getitems__(indices)
        assert get_worker_info() is not None
        assert isinstance(batch.images, Order) or batch.images.pixels.dtype == torch.uint8
        return batch


def test_images_leave_a_worker_as_bytes_or_as_an_order_and_arrive_as_floats(folder):
    for images in sources(folder, KINDS["flip"]):
        (batch, *_) = DataLoader(Peek(images), batch_size=13, num_workers=1, collate_fn=collate)
        assert isinstance(batch, Batch)
        assert batch.images.dtype == torch.float32
        assert batch.images.equal(images.batch(range(13), batch_seed(list(range(13)))))
        assert batch.captions.shape == (13, 5, 9)


def test_items_one_by_one_make_the_same_batch(folder):
    (images, _) = sources(folder, KINDS["plain"])
    items = Items(images)
    batch = collate([items[index] for index in (3, 1, 2)])
    expected = items.__getitems__([3, 1, 2])
    assert batch.images.equal(expected.images)
    assert batch.captions.equal(expected.captions)
    assert collate(expected) is expected


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_different_shapes_make_no_batch(tmp_path, workers):
    for index, size in enumerate([(20, 30), (30, 20)]):
        Image.new("RGB", size).save(tmp_path / f"{index}.png")
    items = Items(
        ImageFiles(tmp_path, ["0.png", "1.png"], transforms.Compose([transforms.Resize(10), transforms.ToTensor()]))
    )
    with pytest.raises(BatchError) as caught:
        list(DataLoader(items, batch_size=2, num_workers=workers, collate_fn=collate))
    assert "different shapes, (3, 10, 15) and (3, 15, 10)" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(BatchError, match="different shapes"):
        collate([items[0], items[1]])


def test_an_absent_image_in_a_worker_is_named_in_one_line(tmp_path):
    items = Items(ImageFiles(tmp_path, ["gone.jpg"], KINDS["flip"]))
    with pytest.raises(BatchError) as caught:
        list(DataLoader(items, num_workers=1, collate_fn=collate))
    assert (
        str(caught.value) == f"image {tmp_path / 'gone.jpg'} is missing: restore it, or remove it from the caption file"
    )


def test_a_caption_dataset_gives_the_same_with_and_without_the_cache(small_shapes, tmp_path, monkeypatch):
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path))
    before = coco.load(small_shapes, KINDS["flip"]).train
    image_cache.prepare(small_shapes, "train", before.file_names, KINDS["flip"])
    after = coco.load(small_shapes, KINDS["flip"]).train
    assert (before.cached, after.cached) == (False, True)

    def epoch(dataset, workers):
        torch.manual_seed(5)
        return list(DataLoader(dataset, 16, shuffle=True, num_workers=workers, collate_fn=dataset.collate_fn))

    expected = epoch(before, 0)
    assert len(expected) == 3
    for dataset, workers in ((before, 2), (after, 0), (after, 2)):
        for batch, other in zip(epoch(dataset, workers), expected, strict=True):
            assert batch.images.equal(other.images)
            assert batch.captions.equal(other.captions)
