"""The rendered dataset: the same bytes every time, whole or absent, and rich enough to caption."""

import collections
import json
import multiprocessing

import pytest
from PIL import Image

from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.dataset.vocabulary import tokenize
from lemur_caption.errors import DatasetError


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def captions_of(folder, split):
    return json.loads((folder / "annotations" / f"captions_{split}2017.json").read_text())


@pytest.fixture(scope="module")
def rendering(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "shapes"
    render_shapes(folder, train=300, val=60)
    return folder


def test_layout_is_that_of_coco(rendering):
    assert sorted(path.name for path in rendering.iterdir()) == ["annotations", "train2017", "val2017"]
    for split, count in (("train", 300), ("val", 60)):
        content = captions_of(rendering, split)
        assert len(content["images"]) == count
        assert len({image["id"] for image in content["images"]}) == count
        assert len({annotation["id"] for annotation in content["annotations"]}) == 5 * count
        on_disk = sorted(path.name for path in (rendering / f"{split}2017").iterdir())
        assert on_disk == sorted(image["file_name"] for image in content["images"])
        with Image.open(rendering / f"{split}2017" / on_disk[0]) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (96, 96))
    train_ids, val_ids = (
        {image["id"] for image in captions_of(rendering, split)["images"]} for split in ("train", "val")
    )
    assert not train_ids & val_ids


def test_every_image_has_five_differently_worded_captions(rendering):
    captions = collections.defaultdict(list)
    for annotation in captions_of(rendering, "train")["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    assert {len(set(found)) for found in captions.values()} == {5}


def test_vocabulary_has_60_to_120_words(rendering):
    words = {word for entry in captions_of(rendering, "train")["annotations"] for word in tokenize(entry["caption"])}
    assert 60 <= len(words) <= 120
    assert words >= {
        word for entry in captions_of(rendering, "val")["annotations"] for word in tokenize(entry["caption"])
    }


def test_scenes_have_one_to_three_objects_with_size_and_relation(rendering):
    text = " . ".join(entry["caption"] for entry in captions_of(rendering, "train")["annotations"])
    for words in (
        "large",
        "small",
        "to the left of",
        "above",
        "in a row",
        "in the middle",
        "three shapes",
        "two shapes",
    ):
        assert words in text


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        render_shapes(tmp_path / name, seed=seed, train=6, val=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    images = [{k: v for k, v in contents(tmp_path / name).items() if k.endswith(".jpg")} for name in "ac"]
    assert images[0].keys() == images[1].keys()
    assert images[0] != images[1]


def test_a_scene_does_not_depend_on_the_counts(tmp_path):
    render_shapes(tmp_path / "few", train=2, val=1)
    render_shapes(tmp_path / "more", train=4, val=2)
    few, more = contents(tmp_path / "few"), contents(tmp_path / "more")
    for name in few:
        if name.endswith(".jpg"):
            assert few[name] == more[name]


def test_a_complete_folder_is_left_as_it_is(tmp_path):
    render_shapes(tmp_path / "shapes", train=3, val=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "shapes").rglob("*")}
    render_shapes(tmp_path / "shapes", train=3, val=1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "shapes").rglob("*")} == before


def test_an_empty_folder_and_missing_parents_are_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    render_shapes(tmp_path / "empty", train=2, val=1)
    render_shapes(tmp_path / "new" / "data" / "shapes", train=2, val=1)
    assert contents(tmp_path / "empty") == contents(tmp_path / "new" / "data" / "shapes")


@pytest.mark.parametrize("foreign", ["other seed", "other files", "broken json", "one split"])
def test_a_folder_with_something_else_is_refused_and_kept(tmp_path, foreign):
    folder = tmp_path / "shapes"
    if foreign == "other files":
        folder.mkdir()
        (folder / "holiday.jpg").write_bytes(b"")
    else:
        render_shapes(folder, seed=1, train=2, val=1)
    seed = 2 if foreign == "other seed" else 1
    if foreign == "broken json":
        (folder / "annotations" / "captions_val2017.json").write_text("{")
    if foreign == "one split":
        (folder / "annotations" / "captions_val2017.json").unlink()
    before = contents(folder)
    with pytest.raises(DatasetError) as caught:
        render_shapes(folder, seed=seed, train=2, val=1)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_rendering_leaves_nothing(tmp_path, interruption):
    def stop(done):
        if done == 3:
            raise interruption

    expected = KeyboardInterrupt if interruption is KeyboardInterrupt else DatasetError
    with pytest.raises(expected) as caught:
        render_shapes(tmp_path / "shapes", train=5, val=1, progress=stop)
    if expected is DatasetError:
        assert "No space left on device" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    render_shapes(tmp_path / "shapes", train=5, val=1)
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


def test_a_file_in_the_way_is_a_one_line_error(tmp_path):
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DatasetError, match="cannot render"):
        render_shapes(tmp_path / "data" / "shapes", train=1, val=1)


def _render(folder, barrier):
    barrier.wait()
    render_shapes(folder, train=40, val=5)


def test_two_processes_at_once_give_one_complete_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=_render, args=(tmp_path / "shapes", barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]
    render_shapes(tmp_path / "alone", train=40, val=5)
    assert contents(tmp_path / "shapes") == contents(tmp_path / "alone")
