"""Reading caption folders: what comes out of a good one, and the one line that a bad one gives."""

import json
import multiprocessing
import pickle
import shutil

import pytest
import torch
from PIL import Image, ImageFile
from torch.utils.data import DataLoader
from torchvision import transforms

from lemur_caption.dataset import coco
from lemur_caption.dataset.captions import MAX_CAPTION_LENGTH
from lemur_caption.dataset.coco import IMAGENET_NORM, CaptionDataset, load
from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.dataset.vocabulary import EOS, PAD, SOS, SPECIALS, UNK, Vocabulary, tokenize
from lemur_caption.errors import DatasetError

to_32 = transforms.Compose(
    [transforms.Resize(32), transforms.CenterCrop(32), transforms.ToTensor(), transforms.Normalize(*IMAGENET_NORM)]
)


def write_split(folder, split, captions, image=None):
    """A split with one image for each list of captions; image ids 10, 11, …"""
    (folder / f"{split}2017").mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    content = {"info": {}, "images": [], "annotations": []}
    for image_id, texts in enumerate(captions, start=10):
        name = f"{image_id}.jpg"
        (image or Image.new("RGB", (48, 40), (200, 30, 30))).save(folder / f"{split}2017" / name)
        content["images"].append({"id": image_id, "file_name": name})
        content["annotations"] += [{"image_id": image_id, "caption": text} for text in texts]
    write_captions(folder, split, content)


def write_captions(folder, split, content):
    (folder / "annotations" / f"captions_{split}2017.json").write_text(json.dumps(content))


def edit_captions(folder, split, edit):
    path = folder / "annotations" / f"captions_{split}2017.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "coco"
    write_split(
        folder, "train", [["A red cat.", "a cat"], ["a dog", "the Dog", "dog", "one dog", "two dogs", "six dogs"]]
    )
    write_split(folder, "val", [["a cat and a bird"], ["a dog"], ["a red dog"]])
    return folder


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    render_shapes(folder, train=24, val=10)
    return folder


# --- vocabulary


def test_ids_of_specials_and_alphabetical_words():
    vocabulary = Vocabulary.build([["b", "a"], ["a", "c"]])
    assert vocabulary.words == (*SPECIALS, "a", "b", "c")
    assert [vocabulary.word2idx[word] for word in SPECIALS] == [PAD, SOS, EOS, UNK] == [0, 1, 2, 3]
    assert vocabulary.idx2word == {index: word for word, index in vocabulary.word2idx.items()}


def test_encode_and_decode_are_inverse_but_for_unknown_words_and_length():
    vocabulary = Vocabulary.build([["a", "b", "c"]])
    assert vocabulary.encode(["a", "zebra", "c"], 50) == [SOS, 4, UNK, 6, EOS]
    assert vocabulary.encode(["a", "b", "c"], 4) == [SOS, 4, 5, EOS]
    assert vocabulary.encode([], 50) == [SOS, EOS]
    assert vocabulary.decode([SOS, 4, PAD, UNK, 6, EOS, 5]) == "a <UNK> c"


def test_rare_words_are_unknown_in_a_large_set_alone(monkeypatch):
    captions = [["often"]] * 5 + [["seldom"]] * 4
    assert {"often", "seldom"} <= set(Vocabulary.build(captions).words)
    monkeypatch.setattr("lemur_caption.dataset.vocabulary.LARGE_SET_CAPTIONS", 9)
    assert Vocabulary.build(captions).words == (*SPECIALS, "often")


def test_tokens_are_lower_case_treebank_without_nltk_data(monkeypatch):
    monkeypatch.setattr("nltk.data.path", [])
    assert tokenize("A man's hat, on a Dog.") == ["a", "man", "'s", "hat", ",", "on", "a", "dog", "."]


# --- a good folder


def test_the_vocabulary_is_that_of_the_training_captions(folder):
    vocabulary, train, val = load(folder, to_32)
    assert {"cat", "dogs", "six", "."} <= set(vocabulary.words)
    assert not {"bird", "and"} & set(vocabulary.words)
    assert train.vocabulary is val.vocabulary is vocabulary
    assert val.labels(0)[0].tolist() == vocabulary.encode(["a", "cat", "?", "a", "?"], 50)


def test_items_have_an_image_and_five_rows(folder):
    _, train, _ = load(folder, to_32)
    image, captions = train[0]
    assert (image.dtype, tuple(image.shape)) == (torch.float32, (3, 32, 32))
    assert (captions.dtype, captions.shape[0]) == (torch.int64, 5)
    assert [train.vocabulary.decode(row) for row in captions.tolist()] == ["a red cat .", "a cat", "", "", ""]
    assert captions[2:].eq(PAD).all()
    assert [train.vocabulary.decode(row) for row in train[1][1].tolist()] == [
        "a dog",
        "the dog",
        "dog",
        "one dog",
        "two dogs",
    ]
    with pytest.raises(IndexError):
        train[2]


def test_values_are_normalized_on_the_scale_of_0_to_1(folder):
    _, train, _ = load(folder, to_32)
    mean = train[0][0].mean(dim=(1, 2))
    expected = [(value / 255 - m) / s for value, m, s in zip((200, 30, 30), *IMAGENET_NORM, strict=True)]
    assert mean.tolist() == pytest.approx(expected, abs=0.1)


def test_batches_are_padded_to_their_longest_caption(shapes):
    _, _, val = load(shapes, to_32)
    batches = list(DataLoader(val, batch_size=4, collate_fn=val.collate_fn))
    assert [len(images) for images, _ in batches] == [4, 4, 2]
    for images, captions in batches:
        assert tuple(images.shape[1:]) == (3, 32, 32)
        assert captions.shape[1] == 5
        assert captions[:, :, 0].eq(SOS).all()
        assert captions[:, :, -1].ne(PAD).any()
    together = torch.cat([rows[rows != PAD] for _, captions in batches for rows in captions])
    assert together.tolist() == [i for index in range(10) for i in val.labels(index).flatten().tolist() if i != PAD]


def test_one_random_caption_an_image_of_the_training_split_alone(folder):
    vocabulary, train, val = load(folder, to_32, one_caption=True)
    drawn = set()
    for seed in range(20):
        order = [*torch.randperm(2, generator=torch.Generator().manual_seed(seed)).tolist(), seed % 2]
        _, captions = train.__getitems__(order)
        assert captions.shape[1] == 5 and captions[:, 1:].eq(PAD).all()
        drawn |= {(index, vocabulary.decode(rows[0].tolist())) for index, rows in zip(order, captions, strict=True)}
    assert {text for index, text in drawn if index == 0} == {"a red cat .", "a cat"}
    assert {text for index, text in drawn if index == 1} <= {"a dog", "the dog", "dog", "one dog", "two dogs"}
    assert train.labels(1).ne(PAD).any(dim=1).all() and not val.one_caption


def test_the_validation_split_is_complete_and_in_order_of_id(folder):
    def shuffle(content):
        content["images"].reverse()

    edit_captions(folder, "val", shuffle)
    _, _, val = load(folder, to_32)
    assert val.image_ids == [10, 11, 12]
    assert [val.vocabulary.decode(val.labels(index)[0].tolist()) for index in (1, 2)] == ["a dog", "a red dog"]


def test_a_long_caption_is_cut_and_ends(folder):
    edit_captions(
        folder, "train", lambda content: content["annotations"].insert(0, {"image_id": 10, "caption": "cat " * 300})
    )
    _, train, _ = load(folder, to_32)
    row = train.labels(0)[0]
    assert len(row) == MAX_CAPTION_LENGTH
    assert row[-1] == EOS


def test_a_blank_caption_counts_as_absent(folder):
    edit_captions(folder, "train", lambda content: content["annotations"].insert(0, {"image_id": 10, "caption": " \n"}))
    _, train, _ = load(folder, to_32)
    assert train.vocabulary.decode(train.labels(0)[0].tolist()) == "a red cat ."


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA"])
def test_images_of_any_mode_and_format_come_as_rgb(folder, mode):
    image = Image.new("RGB", (40, 40), (90, 90, 90)).convert(mode)
    path = folder / "train2017" / "10.jpg"
    image.save(path, format="JPEG" if mode in ("L", "CMYK") else "PNG")
    _, train, _ = load(folder, to_32)
    assert tuple(train[0][0].shape) == (3, 32, 32)


def test_small_splits_start_no_worker_and_large_ones_leave_the_number_to_lemur(folder, monkeypatch):
    assert load(folder, to_32).train.num_workers == 0
    monkeypatch.setattr(coco, "SMALL_SPLIT_IMAGES", 2)
    splits = load(folder, to_32)
    assert splits.train.num_workers == 0
    assert not hasattr(splits.val, "num_workers")


def test_the_vocabulary_opens_no_image(folder, monkeypatch):
    monkeypatch.setattr(CaptionDataset, "check_images", lambda self: None)
    shutil.rmtree(folder / "train2017")
    assert len(load(folder, to_32).vocabulary) > len(SPECIALS)


def test_a_spawned_worker_reads_the_same_batches(shapes):
    _, _, val = load(shapes, to_32)
    assert pickle.loads(pickle.dumps(val)).labels(3).equal(val.labels(3))
    options = {"batch_size": 5, "collate_fn": val.collate_fn}
    spawned = DataLoader(val, num_workers=1, multiprocessing_context=multiprocessing.get_context("spawn"), **options)
    for (images, captions), (other_images, other_captions) in zip(DataLoader(val, **options), spawned, strict=True):
        assert images.equal(other_images)
        assert captions.equal(other_captions)


def test_real_photographs(coco_mini, tmp_path, monkeypatch):
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path))
    vocabulary, train, val = load(coco_mini, to_32)
    assert (len(train), len(val)) == (80, 79)
    images, captions = next(iter(DataLoader(val, batch_size=79, collate_fn=val.collate_fn)))
    assert tuple(images.shape) == (79, 3, 32, 32)
    assert captions[:, :, 0].eq(SOS).all()
    assert captions.max() < len(vocabulary)
    # Photographs under ImageNet's constants have about zero mean and unit deviation.
    assert abs(images.mean()) < 0.5
    assert 0.7 < images.std() < 1.4


# --- bad folders


def message(folder):
    with pytest.raises(DatasetError) as caught:
        load(folder, to_32)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 2
    return text


def test_folder_missing_or_empty_or_a_file(tmp_path):
    assert "does not exist" in message(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "is empty" in message(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    assert "cannot be read" in message(tmp_path / "file")


def test_caption_file_missing(folder):
    (folder / "annotations" / "captions_val2017.json").unlink()
    assert "captions_val2017.json is missing" in message(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00captions", b"[" * 200_000])
def test_caption_file_that_is_not_json(folder, content):
    (folder / "annotations" / "captions_train2017.json").write_bytes(content)
    assert "captions_train2017.json is not JSON" in message(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "a JSON list without 'images'"),
        (None, "a JSON NoneType without 'images'"),
        ({"annotations": []}, "without 'images'"),
        ({"images": {}, "annotations": []}, "without 'images'"),
        ({"images": [{"id": 10, "file_name": "10.jpg"}]}, "without 'annotations'"),
        ({"images": [], "annotations": []}, "lists no images"),
        ({"images": ["10.jpg"], "annotations": []}, "images[0]"),
        ({"images": [{"id": 10, "file_name": "10.jpg"}, {"id": "11", "file_name": "11.jpg"}]}, "images[1]"),
        ({"images": [{"id": 10, "file_name": "10.jpg"}], "annotations": [{"image_id": 10}]}, "annotations[0]"),
        ({"images": [{"id": 10, "file_name": "10.jpg"}] * 2, "annotations": []}, "image id 10 twice"),
    ],
)
def test_caption_file_of_another_structure(folder, content, words):
    write_captions(folder, "train", content)
    assert words in message(folder)


def test_images_without_captions(folder):
    edit_captions(folder, "val", lambda content: content["annotations"].pop(1))
    assert "1 of 3 images have no caption (first: image id 11)" in message(folder)


def test_an_image_with_blank_captions_alone_has_none(folder):
    edit_captions(folder, "val", lambda content: content["annotations"][0].update(caption=""))
    assert "1 of 3 images have no caption (first: image id 10)" in message(folder)


def test_captions_of_images_that_are_not_listed(folder):
    edit_captions(folder, "val", lambda content: content["images"].pop())
    assert "1 captions name an image that the file does not list (first: image id 12)" in message(folder)


def test_image_folder_or_file_absent(folder):
    (folder / "val2017" / "11.jpg").unlink()
    assert "1 of 3 images are missing" in message(folder)
    assert "first: 11.jpg" in message(folder)
    shutil.rmtree(folder / "val2017")
    assert "val2017 cannot be read" in message(folder)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "folder"])
@pytest.mark.parametrize("tolerant", [False, True])
def test_damaged_image_is_named_before_training(folder, monkeypatch, damage, tolerant):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    path = folder / "train2017" / "11.jpg"
    Image.effect_noise((64, 64), 80).save(path)
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"no image", "empty": b""}[damage])
    text = message(folder)
    assert str(path) in text
    assert ("is damaged" in text) or damage == "folder"
    assert tolerant is ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_an_image_damaged_later_is_the_same_one_line_in_a_worker(folder, workers, damage):
    _, _, val = load(folder, to_32)
    path = folder / "val2017" / "12.jpg"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError) as caught:
        list(DataLoader(val, batch_size=2, collate_fn=val.collate_fn, num_workers=workers))
    assert str(caught.value).startswith(f"image {path} is {damage if damage == 'missing' else 'damaged'}")
    assert "\n" not in str(caught.value)


def test_a_transform_that_does_not_crop_is_an_error_that_says_so(folder):
    Image.new("RGB", (80, 40)).save(folder / "train2017" / "10.jpg")
    _, train, _ = load(folder, transforms.Compose([transforms.Resize(16), transforms.ToTensor()]))
    with pytest.raises(DatasetError, match=r"\(3, 16, 19\) and \(3, 16, 32\): use one that crops"):
        next(iter(DataLoader(train, batch_size=2, collate_fn=train.collate_fn)))
