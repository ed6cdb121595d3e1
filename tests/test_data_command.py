"""`lemur-caption data`: what it makes, shows and removes, and what it says when it cannot."""

import json
import os
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from lemur_caption.cli import data as data_command
from lemur_caption.dataset import cache_folder, caption_cache, coco
from lemur_caption.dataset.cache_folder import CacheError
from lemur_caption.errors import DatasetError, UsageError


@pytest.fixture
def folder(small_shapes, tmp_path, monkeypatch):
    """A data folder of its own, without caches."""
    monkeypatch.delenv(cache_folder.CACHE_VARIABLE, raising=False)
    shutil.copytree(small_shapes, tmp_path / "data", ignore=shutil.ignore_patterns(".lemur-caption"))
    return tmp_path / "data"


def call(*arguments, raises=None):
    """What the command prints on stdout; with `raises`, the message of that error."""
    finished = CliRunner().invoke(data_command.app, [*map(str, arguments)])
    if raises:
        assert isinstance(finished.exception, raises), finished.output
        assert "\n" not in str(finished.exception)
        return str(finished.exception)
    assert finished.exception is None, finished.output
    return finished.stdout


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_prepare_status_clear(folder):
    before = files(folder)
    assert "nothing is cached" in call("status", "shapes", "--data", folder)
    assert files(folder) == before

    call("prepare", "shapes", "--data", folder, "--captions-only")
    found = json.loads(call("status", "shapes", "--data", folder, "--json"))
    path = caption_cache.cache_path(folder)
    size = path.stat().st_size
    assert found["folder"] == str(folder)
    assert found["entries"] == [{"kind": "captions", "path": str(path), "bytes": size, "valid": True}]
    assert "valid" in call("status", "shapes", "--data", folder)

    freed = json.loads(call("clear", "shapes", "--data", folder, "--json"))["freed_bytes"]
    # The cache, and the two marks of the images that have been decoded.
    assert freed == size + 64
    assert files(folder) == before
    assert not path.parent.exists()
    assert "nothing is cached" in call("clear", "shapes", "--data", folder)


def test_clear_leaves_the_files_of_others(folder):
    call("prepare", "shapes", "--data", folder, "--captions-only")
    other = caption_cache.cache_path(folder).parent / "notes.txt"
    other.write_text("mine")
    call("clear", "shapes", "--data", folder)
    assert list(other.parent.iterdir()) == [other]


def test_status_calls_a_stale_and_a_torn_cache_by_name(folder):
    call("prepare", "shapes", "--data", folder, "--captions-only")
    annotations = folder / "annotations" / "captions_val2017.json"
    whole = annotations.read_text()
    annotations.write_text(whole + "\n")
    assert "stale" in call("status", "shapes", "--data", folder)
    annotations.write_text(whole)
    path = caption_cache.cache_path(folder)
    path.write_bytes(path.read_bytes()[:-1])
    assert not json.loads(call("status", "shapes", "--data", folder, "--json"))["entries"][0]["valid"]


def test_prepare_fails_where_the_cache_cannot_be_written_or_the_data_are_bad(folder):
    (folder / ".lemur-caption").write_text("in the way")
    assert "cannot be written" in call("prepare", "shapes", "--data", folder, "--captions-only", raises=CacheError)
    (folder / ".lemur-caption").unlink()
    next((folder / "train2017").iterdir()).unlink()
    assert "1 of 48 images are missing" in call(
        "prepare", "shapes", "--data", folder, "--captions-only", raises=DatasetError
    )


def test_clear_waits_for_nobody(folder):
    call("prepare", "shapes", "--data", folder, "--captions-only")
    path = caption_cache.cache_path(folder)
    with cache_folder.locked(path.parent, "captions"):
        assert "is being made by another process" in call("clear", "shapes", "--data", folder, raises=CacheError)
    assert path.exists()


@pytest.mark.parametrize("verb", ["prepare", "status", "clear"])
def test_unknown_dataset_and_absent_folder(folder, verb):
    assert "unknown dataset `cifar`; lemur-caption has shapes, coco-caption" in call(
        verb, "cifar", "--data", folder, *(["--captions-only"] if verb == "prepare" else []), raises=UsageError
    )
    assert "does not exist" in call(
        verb,
        "shapes",
        "--data",
        folder / "no",
        *(["--captions-only"] if verb == "prepare" else []),
        raises=DatasetError,
    )


def test_prepare_refuses_what_the_disk_has_no_room_for(folder, monkeypatch):
    captions = caption_cache.prepare(folder)
    usage = shutil.disk_usage(folder)
    with pytest.raises(CacheError, match=r"the images need .* GB and the disk of .* free some space"):
        data_command._check_room(folder, usage.free + 10**9, True)
    monkeypatch.setattr(data_command, "ASK_BYTES", 0)
    # No terminal: nobody to ask.
    data_command._check_room(folder, 1, False)
    assert len(captions.train) == 48


@pytest.mark.slow
def test_images_of_lemurs_transform_are_cached_and_used(folder, lemur_python, tmp_path):
    """In a LEMUR of its own: prepare, then load as LEMUR does, with every image file out of reach of the decoder."""
    code = """
import sys
from lemur_caption.cli.data import app
app([*sys.argv[1:]], standalone_mode=False)
from lemur_caption.dataset import coco, images
from lemur_caption.lemur.loading import image_transform
def never(*arguments): raise AssertionError("an image was decoded")
images.read_image = images.read_pixels = never
from pathlib import Path
splits = coco.load(Path(sys.argv[sys.argv.index("--data") + 1]), image_transform("norm_96"))
pixels, captions = splits.train[0]
assert tuple(pixels.shape) == (3, 96, 96) and captions.shape[0] == 5
assert splits.train.cached and splits.val.cached
"""
    arguments = ["prepare", "shapes", "--data", folder, "--transform", "norm_96", "--offline", "--json"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    finished = subprocess.run(
        [lemur_python, "-c", code, *map(str, arguments)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert "decoded images will take 1.6 MB" in finished.stderr
    entries = {entry["kind"]: entry for entry in json.loads(finished.stdout)["entries"]}
    assert {kind: entry["valid"] for kind, entry in entries.items()} == {
        "captions": True,
        "images train": True,
        "images val": True,
    }
    assert entries["images train"]["done"] == entries["images train"]["total"] == 48
    table = call("status", "shapes", "--data", folder)
    assert table.count("valid") == 3
    freed = json.loads(call("clear", "shapes", "--data", folder, "--json"))["freed_bytes"]
    assert freed >= 56 * 3 * 96 * 96
    assert not (folder / ".lemur-caption").exists()
    assert not coco.load(folder, lambda image: image).train.cached
