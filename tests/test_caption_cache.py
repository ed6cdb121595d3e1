"""The caption cache: it says what the caption files say, whoever makes it and whatever happens to it, or it is not used."""

import itertools
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.tokenize import word_tokenize
from PIL import Image

from lemur_caption.dataset import cache_folder, caption_cache, captions, coco, image_check, vocabulary
from lemur_caption.dataset.annotations import read_annotations
from lemur_caption.dataset.cache_folder import CacheError
from lemur_caption.dataset.caption_cache import cache_path, open_captions, prepare
from lemur_caption.dataset.captions import MAX_CAPTION_LENGTH
from lemur_caption.dataset.vocabulary import EOS, SOS, Vocabulary, tokenize
from lemur_caption.errors import DatasetError

TRAIN = [
    ["A red cat.", "a cat, sleeping", "It's a cat!", "cat cat cat", "cats", "a sixth caption counts for the words"],
    ["word " * 300, "😀 🐈‍⬛ naïve", "(a dog) -- 3.5 m, 1,000 x", "\ud83d half a pair"],
    ["-"],
]
VAL = [["a bird"], ["a cat", " \n", "a dog."]]


def write(folder, split, texts):
    """A caption file: one image for each list of captions, in descending order of id."""
    images = [{"id": number, "file_name": f"{number}é.jpg"} for number in range(len(texts), 0, -1)]
    entries = [{"image_id": number, "caption": text} for number, found in enumerate(texts, start=1) for text in found]
    path = folder / "annotations" / f"captions_{split}2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": entries}))
    return path


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(cache_folder.CACHE_VARIABLE, raising=False)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data"
    write(folder, "train", TRAIN)
    write(folder, "val", VAL)
    return folder


def rows(table):
    """The captions of a table as lists of ids, five an image."""
    ids, ends = table.arrays["ids"].tolist(), table.arrays["ends"].tolist()
    flat = [ids[start:end] for start, end in itertools.pairwise(ends)]
    return [flat[first : first + 5] for first in range(0, len(flat), 5)]


def assert_right(found, folder):
    """`found` is what encoding the files caption by caption gives."""
    images = {
        split: read_annotations(folder / "annotations" / f"captions_{split}2017.json") for split in ("train", "val")
    }
    tokens = [tokenize(caption) for image in images["train"] for caption in image.captions]
    assert found.vocabulary == Vocabulary.build(tokens)
    for split, table in (("train", found.train), ("val", found.val)):
        encoded = [
            [found.vocabulary.encode(tokenize(caption), MAX_CAPTION_LENGTH) for caption in image.captions[:5]]
            for image in images[split]
        ]
        assert rows(table) == [(found + [[]] * 5)[:5] for found in encoded]
        assert table.arrays["image_ids"].tolist() == [image.image_id for image in images[split]]
        assert list(table.names) == [table.names[i] for i in range(len(table))] == [i.file_name for i in images[split]]


def never(*arguments):
    raise AssertionError("the captions were encoded anew")


# --- tokens

WORDS = ["a", "cat", "cannot", "gonna", "wanna", "it's", "d'ye", "5", "é", "İ", "\u212a"]
PIECES = [*WORDS, ",", ".", "..", " ", "\n", "'", '"', "-", "--"]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(st.sampled_from([*PIECES, ", ", " a "]), max_size=9).map("".join), st.text(max_size=20)))
def test_tokens_are_those_of_nltk(text):
    assert tokenize(text) == word_tokenize(text.lower(), preserve_line=True)


def test_a_long_run_of_blanks_costs_no_quadratic_time():
    assert tokenize("a" + " " * 100_000 + "é, b" + " " * 100_000) == ["a", "é", ",", "b"]


# --- a cache that is right


def test_cold_and_warm_are_what_the_files_say(folder, monkeypatch):
    assert_right(open_captions(folder), folder)
    monkeypatch.setattr(captions, "encode", never)
    warm = open_captions(folder)
    assert_right(warm, folder)
    longest = rows(warm.train)[1][0]
    assert (len(longest), longest[0], longest[-1]) == (MAX_CAPTION_LENGTH, SOS, EOS)


def test_photographs_captions_come_out_the_same(coco_mini, tmp_path, monkeypatch):
    monkeypatch.setenv(cache_folder.CACHE_VARIABLE, str(tmp_path))
    for _ in range(2):
        assert_right(open_captions(coco_mini), coco_mini)


def test_rare_words_of_a_large_set_are_unknown(folder, monkeypatch):
    monkeypatch.setattr(vocabulary, "LARGE_SET_CAPTIONS", 11)
    found = open_captions(folder)
    assert_right(found, folder)
    assert {"cat", "a"} <= set(found.vocabulary.words)
    assert "red" not in found.vocabulary.words


def test_the_file_lies_in_the_data_folder_or_where_the_variable_says(folder, tmp_path, monkeypatch):
    assert cache_path(folder) == folder / ".lemur-caption" / "captions.cache"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(cache_folder.CACHE_VARIABLE, "caches")
    open_captions(folder)
    assert not (folder / ".lemur-caption").exists()
    path = cache_path(folder)
    assert path.is_file() and path.is_absolute() and path.parent.parent == tmp_path / "caches"
    assert cache_path(tmp_path / "other") != path == cache_path(folder / ".." / "data")


def test_a_pickle_holds_the_path_and_no_arrays(folder):
    write(folder, "train", [["a cat sits on a mat"] * 5] * 2000)
    table = open_captions(folder).train
    pickled = pickle.dumps((table, table.names))
    assert table.arrays["ids"].nbytes > 100_000
    assert len(pickled) < 1_000
    again, names = pickle.loads(pickled)
    assert np.array_equal(again.arrays["ids"], table.arrays["ids"])
    assert names[-1] == "2000é.jpg"
    write(folder, "train", TRAIN)
    open_captions(folder)
    with pytest.raises(DatasetError, match="changed or removed during the run"):
        pickle.loads(pickled)
    assert rows(table)[0] == rows(again)[0]


# --- a cache that is not


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_changed_caption_file_is_noticed_by_its_content_alone(folder, split):
    open_captions(folder)
    path = folder / "annotations" / f"captions_{split}2017.json"
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content.replace(b"a cat", b"a dog"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert_right(open_captions(folder), folder)


def test_a_caption_file_that_became_bad_is_refused_though_a_cache_is_there(folder):
    open_captions(folder)
    path = folder / "annotations" / "captions_val2017.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match="is not JSON"):
        open_captions(folder)
    path.unlink()
    with pytest.raises(DatasetError, match="is missing"):
        open_captions(folder)


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (vocabulary, "tokenizer_name", lambda: "another"),
        (vocabulary, "LARGE_SET_MIN_COUNT", 4),
        (captions, "MAX_CAPTION_LENGTH", 20),
        (caption_cache, "FORMAT", 0),
    ],
)
def test_another_tokenizer_threshold_length_or_format_makes_a_cache_stale(folder, monkeypatch, place, name, value):
    open_captions(folder)
    monkeypatch.setattr(place, name, value)
    made = []
    whole = captions.encode
    monkeypatch.setattr(captions, "encode", lambda contents: made.append(1) or whole(contents))
    open_captions(folder)
    open_captions(folder)
    assert made == [1]


DAMAGE = {
    "empty": lambda content: b"",
    "text": lambda content: b"no cache",
    "half": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "one byte more": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "magic": lambda content: b"X" + content[1:],
    "checksum": lambda content: content[:20] + bytes([content[20] ^ 1]) + content[21:],
    "header": lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:],
    "arrays": lambda content: content[:-65] + bytes([content[-65] ^ 1]) + content[-64:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_torn_cache_is_made_anew(folder, damage):
    whole = open_captions(folder)
    path = cache_path(folder)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(DAMAGE[damage](content))
    assert not caption_cache.peek(folder)[0]
    assert rows(open_captions(folder).train) == rows(whole.train)
    assert path.read_bytes() == content


# --- many processes, and dead ones


def child(code, *arguments):
    """A process with `code` after the imports that these tests need, its folder in `argv[1]`."""
    head = "import os, signal, sys, time\nfrom pathlib import Path\nfrom lemur_caption.dataset import caption_cache, captions\n"
    command = [sys.executable, "-c", head + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ten_processes_open_one_cold_cache_at_once(folder):
    processes = child(
        """
        from multiprocessing import get_context
        fork = get_context("fork")
        barrier, made = fork.Barrier(10), fork.Value("i", 0)
        whole = captions.encode
        def encode(contents):
            with made.get_lock():
                made.value += 1
            time.sleep(0.2)
            return whole(contents)
        captions.encode = encode
        def run():
            barrier.wait()
            table = caption_cache.open_captions(Path(sys.argv[1])).train
            os.write(1, f"{table.arrays['ids'].tobytes().hex()} {table.origin.path.name}\\n".encode())
        started = [fork.Process(target=run) for _ in range(10)]
        for process in started: process.start()
        for process in started: process.join()
        print(made.value)
        """,
        folder,
    )
    out, errors = processes.communicate(timeout=60)
    lines = out.split("\n")[:-1]
    expected = f"{open_captions(folder).train.arrays['ids'].tobytes().hex()} captions.cache"
    assert (errors, lines) == ("", [expected] * 10 + ["1"])


@pytest.mark.parametrize("moment", ["captions.encode", "caption_cache.publish"])
def test_a_killed_builder_leaves_nothing_that_is_used_and_nobody_waiting(folder, moment):
    builder = child(
        f"""
        def hang(*arguments):
            print("there", flush=True)
            time.sleep(600)
        {moment} = hang
        caption_cache.open_captions(Path(sys.argv[1]))
        """,
        folder,
    )
    assert builder.stdout.readline() == "there\n"
    waiting = child("print(len(caption_cache.open_captions(Path(sys.argv[1])).train.origin.checksum))", folder)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.7)
    left = list(cache_path(folder).parent.glob("*.tmp"))
    assert bool(left) is (moment == "caption_cache.publish")
    assert not cache_path(folder).exists()
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    assert waiting.communicate(timeout=60) == ("32\n", "")
    assert sorted(path.name for path in cache_path(folder).parent.iterdir()) == ["captions.cache", "captions.lock"]
    assert_right(open_captions(folder), folder)


def test_who_waits_too_long_goes_on_without_a_cache(folder, monkeypatch, caplog):
    monkeypatch.setattr(caption_cache, "locked", partial(cache_folder.locked, seconds=0.1))
    with cache_folder.locked(cache_path(folder).parent, "captions"):
        assert_right(open_captions(folder), folder)
    assert len(caplog.records) == 1
    assert not cache_path(folder).exists()


# --- no room


def test_a_disk_that_fills_up_costs_a_warning_and_no_cache(folder):
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        found = caption_cache.open_captions(Path(sys.argv[1]))
        print(found.train.arrays["ids"].tobytes().hex())
        caption_cache.prepare(Path(sys.argv[1]))
        """
    out, errors = child(code, folder).communicate(timeout=60)
    warning, *traceback = errors.strip().split("\n")
    assert "captions are not cached" in warning and "too large" in warning
    assert "CacheError: the caption cache" in traceback[-1]
    assert [path.name for path in cache_path(folder).parent.iterdir()] == ["captions.lock"]
    assert out.strip() == open_captions(folder).train.arrays["ids"].tobytes().hex()


def test_a_folder_that_cannot_be_written(folder, caplog):
    (folder / ".lemur-caption").write_text("in the way")
    assert_right(open_captions(folder), folder)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "\n" not in caplog.records[0].getMessage()
    table = pickle.loads(pickle.dumps(open_captions(folder).train))
    assert len(table) == len(table.names) == 3
    with pytest.raises(CacheError, match="cannot be written") as caught:
        prepare(folder)
    assert caught.value.exit_code == 1


# --- images


@pytest.fixture
def photographs(folder):
    for split, count in (("train", len(TRAIN)), ("val", len(VAL))):
        (folder / f"{split}2017").mkdir()
        for number in range(1, count + 1):
            Image.effect_noise((24, 24), 80).convert("RGB").save(folder / f"{split}2017" / f"{number}é.jpg")
    return folder


def test_images_are_decoded_once_and_again_when_they_change(photographs, monkeypatch):
    decoded = []
    whole = image_check.read_image
    monkeypatch.setattr(image_check, "read_image", lambda path, draft: decoded.append(path.name) or whole(path, draft))
    coco.prepare_captions(photographs)
    assert len(decoded) == 5
    coco.prepare_captions(photographs)
    assert len(decoded) == 5
    path = photographs / "val2017" / "2é.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match=r"2é\.jpg is damaged"):
        coco.prepare_captions(photographs)


def test_an_image_that_went_after_the_captions_were_cached_is_missed(photographs):
    coco.prepare_captions(photographs)
    (photographs / "train2017" / "3é.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 of 3 images are missing .*first: 3é.jpg"):
        coco.load(photographs, lambda image: image)


def test_an_image_id_of_more_than_64_bits_is_refused(folder):
    path = folder / "annotations" / "captions_train2017.json"
    path.write_text(path.read_text().replace('"id": 3,', f'"id": {2**63},'))
    with pytest.raises(DatasetError, match="more than 64 bits"):
        open_captions(folder)
