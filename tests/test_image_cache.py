"""The image cache: it gives what the transform gives, and nothing wrong whatever happens while it is built or kept."""

import errno
import importlib.util
import io
import multiprocessing
import os
import pickle
import shutil
import signal
import sysconfig
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFile
from torchvision import transforms

from lemur_caption.dataset import image_build, image_cache, image_file
from lemur_caption.dataset.coco import IMAGENET_NORM
from lemur_caption.dataset.images import BatchError, ImageFiles, read_image, read_pixels
from lemur_caption.dataset.transforms import seeded, split
from lemur_caption.errors import DatasetError

TRANSFORMS = Path(sysconfig.get_path("purelib")) / "ab" / "nn" / "transform"
FORK = multiprocessing.get_context("fork")
to_32 = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize(*IMAGENET_NORM)])


def picture(seed, width, height):
    """A colourful image with smooth areas and edges."""
    coarse = torch.randint(0, 256, (3, 6, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return transforms.functional.to_pil_image(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder of seven training images, and their names."""
    folder = tmp_path / "data"
    (folder / "train2017").mkdir(parents=True)
    names = [f"{index}.jpg" for index in range(7)]
    for index, name in enumerate(names):
        picture(index, 60 + 13 * index, 90 - 9 * index).save(folder / "train2017" / name, quality=90)
    monkeypatch.setenv("LEMUR_CAPTION_CACHE", str(tmp_path / "cache"))
    return folder, names


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of two images of 32 px."""
    monkeypatch.setattr(image_build, "BLOCK_BYTES", 2 * 3 * 32 * 32)


def prepare(data, transform=to_32, **options):
    return image_cache.prepare(data[0], "train", data[1], transform, **options)


def find(data, transform=to_32):
    return image_cache.find(data[0], "train", data[1], transform)


def refusal(data, transform=to_32):
    with pytest.raises(DatasetError) as caught:
        prepare(data, transform)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 2
    return text


def uncached(data, transform=to_32):
    return ImageFiles(data[0] / "train2017", data[1], transform)


def assert_right(images, data, transform=to_32):
    expected = uncached(data, transform)
    assert len(images) == len(expected) == 7
    for index in range(7):
        assert images[index].equal(expected[index])


def written(data):
    """The files of the cache folder, locks aside."""
    return sorted(path.name for path in image_cache.cache_folder(data[0]).glob("*") if path.suffix != ".lock")


# --- what comes out


def lemur_transform(name):
    spec = importlib.util.spec_from_file_location("lemur_transform", TRANSFORMS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.transform(IMAGENET_NORM)


# complex_192 is for pairs of images; those of 512 px take long and differ from others in that number alone.
FAMILIES = sorted(
    {path.stem for kind in ("echo", "norm", "complex") for path in TRANSFORMS.glob(f"{kind}*.py")}
    - {"complex_192", "norm_512", "norm_512_flip", "complex_512", "complex_512_flip"}
)
# These begin with a random step, or do not resize at all.
UNCACHED = {f"{kind}{flip}" for kind in ("echo", "norm", "complex") for flip in ("", "_flip")} | {"norm_160_flip"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_transform_of_lemur_keeps_its_meaning_to_one_grey_level(data, name):
    transform = lemur_transform(name)
    if name in UNCACHED:
        assert "no image cache can serve this transform" in refusal(data, transform)
    cached = uncached(data, transform) if name in UNCACHED else prepare(data, transform)
    level = (1.001 / 255) / (min(IMAGENET_NORM[1]) if name.startswith("norm") else 1)
    for index in (1, 6):
        torch.manual_seed(index)
        expected = transform(Image.open(data[0] / "train2017" / data[1][index]).convert("RGB"))
        torch.manual_seed(index)
        image = cached[index]
        assert (image.shape, image.dtype) == (expected.shape, expected.dtype)
        assert (image - expected).abs().max() <= level


def test_real_photographs_at_many_sizes(coco_mini):
    paths = sorted((coco_mini / "val2017").glob("*.jpg"))[:6]
    for path, size in zip(paths, (17, 64, 96, 128, 256, 700), strict=True):
        pixels = split(transforms.Compose([transforms.Resize((size, size))])).head(read_pixels(path))
        expected = transforms.functional.pil_to_tensor(transforms.Resize((size, size))(read_image(path)))
        assert (pixels.int() - expected.int()).abs().max() <= 1


def test_floats_are_bit_for_bit_those_of_torchvision(data):
    images = prepare(data)
    steps = transforms.Compose(to_32.transforms[1:])
    for index, path in enumerate(data[1]):
        pixels = split(to_32).head(read_pixels(data[0] / "train2017" / path))
        image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
        assert images[index].equal(steps(image))
    assert images.batch(range(7), seed=0).equal(torch.stack([images[index] for index in range(7)]))


@pytest.mark.parametrize(
    "steps",
    [
        [transforms.Resize(40), transforms.CenterCrop(32)],
        [transforms.CenterCrop(100), transforms.Resize((32, 20))],
        [transforms.Resize((30, 30)), transforms.Pad(3, fill=(9, 99, 9))],
        [transforms.Resize((20, 40), interpolation=transforms.InterpolationMode.BICUBIC)],
        [transforms.Compose([transforms.Resize((20, 40)), transforms.RandomVerticalFlip(p=1)])],
    ],
)
def test_other_heads(data, steps):
    transform = transforms.Compose([*steps, transforms.ToTensor()])
    images = prepare(data, transform)
    assert_right(images, data, transform)
    expected = transform(read_image(data[0] / "train2017" / data[1][3]))
    assert (images[3] - expected).abs().max() <= 1.001 / 255


def test_random_steps_run_anew_on_the_cached_image(data):
    jitter = transforms.Compose([transforms.Resize((32, 32)), transforms.ColorJitter(0.5), transforms.ToTensor()])
    images = prepare(data, jitter)
    assert not images[0].equal(images[0])
    assert images.batch([0, 1], seed=3).equal(images.batch([0, 1], seed=3))
    assert not images.batch([0, 1], seed=3).equal(images.batch([0, 1], seed=4))
    assert images.batch([0, 1], seed=3).equal(uncached(data, jitter).batch([0, 1], seed=3))


def test_transforms_that_share_their_first_steps_share_a_file(data):
    prepare(data)
    images = find(
        data,
        transforms.Compose([transforms.Resize((32, 32)), transforms.RandomHorizontalFlip(p=1), transforms.ToTensor()]),
    )
    assert images is not None
    assert (
        images[2]
        .flip(-1)
        .equal(find(data, transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()]))[2])
    )
    assert find(data, transforms.Compose([transforms.Resize((32, 33)), transforms.ToTensor()])) is None
    assert len(written(data)) == 1


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_of_any_mode_are_those_of_pillow(tmp_path, mode, progressive):
    path = tmp_path / "image.jpg"
    as_jpeg = mode in ("L", "CMYK", "1")
    picture(1, 50, 40).convert(mode).save(path, format="JPEG" if as_jpeg else "PNG", progressive=progressive)
    assert read_pixels(path).equal(transforms.functional.pil_to_tensor(read_image(path)))
    picture(2, 50, 40).save(path, format="JPEG", progressive=progressive)
    assert (read_pixels(path).int() - transforms.functional.pil_to_tensor(read_image(path)).int()).abs().max() <= 1


def test_indices(data):
    images = prepare(data)
    assert images[-1].equal(images[6])
    for index in (7, -8):
        with pytest.raises(IndexError):
            images[index]
        with pytest.raises(IndexError):
            images.batch([0, index], seed=0)


def test_a_pickle_holds_no_data(data):
    images = prepare(data)
    pickled = pickle.dumps(images)
    assert len(pickled) < 4 * image_file.PAGE < image_file.PAGE + 7 * 3 * 32 * 32
    assert_right(pickle.loads(pickled), data)


def test_a_pickle_of_a_cache_that_was_replaced_is_refused(data):
    pickled = pickle.dumps(prepare(data))
    picture(50, 70, 70).save(data[0] / "train2017" / "4.jpg")
    prepare(data)
    with pytest.raises(BatchError, match="not the one expected"):
        pickle.loads(pickled)
    image_cache.clear(data[0])
    with pytest.raises(BatchError, match="cannot be read"):
        pickle.loads(pickled)


# --- building


def test_progress_and_estimate(data, small_blocks):
    steps = []
    assert find(data) is None
    needed = image_cache.estimate(data[0], "train", data[1], to_32)
    assert needed == image_file.PAGE + 7 * 3 * 32 * 32
    assert_right(prepare(data, workers=2, on_progress=lambda done, total: steps.append((done, total))), data)
    assert steps == [(done, 7) for done in range(8)]
    assert image_cache.estimate(data[0], "train", data[1], to_32) == 0
    assert [path.stat().st_size for path in image_cache.cache_folder(data[0]).glob("*.u8")] == [needed]
    prepare(data, on_progress=lambda done, total: pytest.fail("it is there already"))
    assert_right(find(data), data)


def build_and_die(data, after):
    def die(done, total):
        if done == after:
            os.kill(os.getpid(), signal.SIGKILL)

    prepare(data, workers=1, on_progress=die)


@pytest.mark.parametrize("after", [0, 1, 5, 7])
def test_a_killed_builder_is_taken_over_where_it_stopped(data, small_blocks, after, monkeypatch):
    child = FORK.Process(target=build_and_die, args=(data, after))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert find(data) is None
    (entry,) = image_cache.status(data[0], {"train": data[1]})
    # The block in which it died counts for nothing.
    assert (entry.done, entry.total, entry.valid) == ([0, 0, 0, 0, 0, 3, 0, 5][after], 7, False)

    read = []
    monkeypatch.setattr(image_build, "read_pixels", lambda path: read.append(path.name) or read_pixels(path))
    assert_right(prepare(data), data)
    done = max(0, after - 1) // 2 * 2
    assert sorted(read) == data[1][done:]
    assert len(written(data)) == 1


def test_half_a_build_is_begun_again_when_an_image_has_changed(data, small_blocks):
    child = FORK.Process(target=build_and_die, args=(data, 5))
    child.start()
    child.join(60)
    picture(51, 70, 70).save(data[0] / "train2017" / "0.jpg")
    assert_right(prepare(data), data)


def build_and_tell(data, place, results):
    place.wait(60)
    images = prepare(data, on_progress=lambda done, total: results.put("built") if done == total else None)
    results.put(images.batch(range(7), seed=0).sum().item())


def test_ten_builders_at_once_build_one_cache(data, small_blocks):
    place, results = FORK.Barrier(10), FORK.SimpleQueue()
    children = [FORK.Process(target=build_and_tell, args=(data, place, results)) for _ in range(10)]
    for child in children:
        child.start()
    found = [results.get() for _ in range(11)]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert found.count("built") == 1
    assert set(found) - {"built"} == {uncached(data).batch(range(7), seed=0).sum().item()}
    assert len(written(data)) == 1


# --- what must not be served


@pytest.mark.parametrize("change", ["content", "time", "another size"])
def test_a_changed_image_makes_the_cache_stale(data, change):
    before = prepare(data)
    path = data[0] / "train2017" / "2.jpg"
    if change == "time":
        os.utime(path, ns=(1, 1))
    else:
        picture(50, 70, 70 if change == "content" else 90).save(path)
    assert find(data) is None
    (entry,) = image_cache.status(data[0], {"train": data[1]})
    assert not entry.valid
    assert_right(prepare(data), data)
    # Who had it open keeps what was true then.
    assert len(before) == 7


def test_another_list_of_images_is_another_cache(data):
    prepare(data)
    assert find((data[0], data[1][::-1])) is None
    assert find((data[0], data[1][:-1])) is None
    assert image_cache.find(data[0], "val", data[1], to_32) is None


@pytest.mark.parametrize("damage", ["short", "long", "header", "empty", "noise"])
def test_a_damaged_cache_is_built_again(data, damage):
    prepare(data)
    (path,) = image_cache.cache_folder(data[0]).glob("*.u8")
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[20] ^= 1
    path.write_bytes(
        {
            "short": content[:-1],
            "long": content + b"\0",
            "header": content,
            "empty": b"",
            "noise": b"\xff" * len(content),
        }[damage]
    )
    assert find(data) is None
    assert not image_cache.status(data[0], {"train": data[1]})[0].valid
    assert_right(prepare(data), data)


def test_a_torn_part_file_is_not_gone_on_with(data, small_blocks):
    child = FORK.Process(target=build_and_die, args=(data, 5))
    child.start()
    child.join(60)
    (part,) = image_cache.cache_folder(data[0]).glob("*.part")
    os.truncate(part, 5000)
    assert_right(prepare(data), data)


def test_an_image_that_changes_while_it_is_read(data, monkeypatch):
    def read_and_change(path):
        pixels = read_pixels(path)
        os.utime(path, ns=(1, 1))
        return pixels

    with monkeypatch.context() as patch:
        patch.setattr(image_build, "read_pixels", read_and_change)
        assert "changed while they were read" in refusal(data)
    assert find(data) is None
    assert_right(prepare(data), data)


def damaged_bytes(kind):
    buffer = io.BytesIO()
    picture(0, 90, 70).save(buffer, "PNG" if kind == "png" else "JPEG", progressive=kind == "progressive")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["baseline", "progressive", "png"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.95])
def test_a_truncated_image_is_named(data, kind, share, monkeypatch):
    path = data[0] / "train2017" / "3.jpg"
    sound, content = path.read_bytes(), damaged_bytes(kind)
    path.write_bytes(content[: int(share * len(content))])
    # Another package may have asked Pillow for what is left of such files.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert "3.jpg is damaged" in refusal(data)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert find(data) is None
    with pytest.raises(BatchError, match=r"3\.jpg is damaged"):
        uncached(data).batch([2, 3], seed=0)
    path.write_bytes(sound)
    assert_right(prepare(data), data)


def test_no_thread_of_a_build_may_fill_truncated_images(data, monkeypatch):
    seen = []
    monkeypatch.setattr(
        image_build, "read_pixels", lambda path: seen.append(ImageFile.LOAD_TRUNCATED_IMAGES) or read_pixels(path)
    )
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    prepare(data, workers=3)
    assert seen == [False] * 7


def test_an_absent_image_is_named(data):
    prepare(data)
    (data[0] / "train2017" / "3.jpg").unlink()
    assert find(data) is None
    assert "3.jpg cannot be read (No such file or directory)" in refusal(data)
    with pytest.raises(BatchError, match=r"3\.jpg is missing"):
        uncached(data)[3]


# --- room on the disk


def test_a_disk_without_room_is_refused_before_the_work(data, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    larger = transforms.Compose([transforms.Resize((512, 512)), transforms.ToTensor()])
    assert "needs 5.5 MB and the disk has 1.0 MB left" in refusal(data, larger)
    assert written(data) == []
    assert_right(prepare(data), data)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_room_that_cannot_be_taken(data, monkeypatch, code):
    def full(descriptor, start, length):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert os.strerror(code) in refusal(data)
    assert written(data) == []
    assert_right(prepare(data), data)


def test_a_disk_that_fills_up_during_the_work(data, small_blocks, monkeypatch):
    calls = []

    def fills_up(descriptor, content, place):
        calls.append(place)
        # A full disk takes less than all of it, and then nothing.
        return pwrite(descriptor, bytes(content)[:100] if len(calls) > 4 else content, place)

    pwrite = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fills_up)
        assert "No space left on device" in refusal(data)
    assert find(data) is None
    assert_right(prepare(data), data)


def test_a_real_limit_on_file_size(data):
    resource = pytest.importorskip("resource")

    def limited(results):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
        try:
            prepare(data)
        except DatasetError as error:
            results.put(str(error))

    results = FORK.SimpleQueue()
    child = FORK.Process(target=limited, args=(results,))
    child.start()
    assert "cannot be written (File too large)" in results.get()
    child.join(60)
    assert_right(prepare(data), data)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written(data, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o500)
    assert "cannot be written (Permission denied)" in refusal(data)


def test_a_cache_folder_that_is_a_file(data, tmp_path):
    (tmp_path / "cache").write_text("")
    assert "cannot be written (Not a directory)" in refusal(data)
    assert find(data) is None


# --- transforms that no cache can serve


class Thirty(transforms.Resize):
    """A subclass may do anything."""

    def forward(self, image):
        return transforms.functional.to_tensor(image.resize((30, 30)))


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (lambda image: transforms.functional.to_tensor(image.resize((32, 32))), "it is no torchvision Compose"),
        (transforms.Compose([transforms.Resize(32), transforms.ToTensor()]), "images of different shapes"),
        (
            transforms.Compose([transforms.RandomHorizontalFlip(), transforms.Resize((32, 32))]),
            "before the first random one",
        ),
        (transforms.Compose([Thirty((32, 32))]), "images of different shapes"),
        (transforms.Compose([]), "images of different shapes"),
    ],
)
def test_no_cache_and_a_line_that_says_why(data, transform, words):
    assert find(data, transform) is None
    assert words in refusal(data, transform)
    assert written(data) == []


def test_a_transform_that_is_no_compose_gets_the_image_as_pillow_reads_it(data):
    kept = []
    images = uncached(data, lambda image: kept.append(image) or transforms.functional.to_tensor(image)[:, :30, :30])
    assert images[0].shape == (3, 30, 30)
    assert kept[0].tobytes() == read_image(data[0] / "train2017" / "0.jpg").tobytes()
    assert images.batch([0, 1], seed=0).shape == (2, 3, 30, 30)


# --- keeping


def test_status_and_clear(data):
    assert image_cache.status(data[0], {}) == []
    assert image_cache.clear(data[0]) == 0
    prepare(data)
    images = prepare(
        data, transforms.Compose([transforms.Resize(24), transforms.CenterCrop(20), transforms.ToTensor()])
    )
    first, second = image_cache.status(data[0], {"train": data[1]})
    assert sorted(entry.steps.count("CenterCrop") for entry in (first, second)) == [0, 1]
    assert [(entry.split, entry.done, entry.total, entry.valid) for entry in (first, second)] == [
        ("train", 7, 7, True)
    ] * 2
    assert image_cache.clear(data[0]) == first.bytes + second.bytes > 0
    assert written(data) == []
    assert find(data) is None
    # A file that is open stays readable.
    assert images[0].shape == (3, 20, 20)


def test_a_cache_that_is_being_built_is_not_cleared(data):
    with image_build.locked(image_file.layout(data[0], "train", data[1], to_32).path.parent, "images-x"):
        (image_cache.cache_folder(data[0]) / "images-x.part").write_bytes(b"half")
        with pytest.raises(DatasetError, match="is being built"):
            image_cache.clear(data[0])
    assert image_cache.status(data[0], {})[0].total == 0
    image_cache.clear(data[0])
    assert written(data) == []


def test_seeding_leaves_the_outer_random_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = torch.rand(1)
    with seeded(True) as seed_draws:
        seed_draws(2**63 - 1)
        torch.rand(5)
    assert torch.cat([first, torch.rand(1)]).equal(expected)
