"""Set-up of COCO's captions: `python benchmarks/annotations.py COCO_MINI [--images 118287] [--captions 591753] [--keep FOLDER]`.

Makes a data folder of COCO's size. Its captions are those of COCO_MINI with a third of their words exchanged, so that sentences
are as long and punctuation as frequent as there; its training images are empty files, since training looks for their
names alone, and its 5,000 validation images, which training decodes once, are links to those of COCO_MINI.

Opens it and COCO_MINI cold (no caches) and warm: the captions alone (`open_captions`), and all that training does before the
first batch (`coco.load`, which looks at the image files too). The other side is LEMUR's loader on COCO_MINI. Each opening is a
process of its own; imports are not counted. LEMUR's tokenizer wants NLTK's `punkt_tab`: where that is not installed it is spared
the search for sentences, which makes it faster. Prints seconds by the clock and on the processor, peak memory, and how many
times faster a training image is set up, in processor seconds, which other programs disturb little.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VAL_IMAGES = 5_000
SPLITS = ("train", "val")


def captions_of(folder: Path, split: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "annotations" / f"captions_{split}2017.json").read_bytes())
    return content


def make(folder: Path, source: Path, images: int, captions: int, seed: int = 0) -> None:
    """A data folder in COCO-2017 layout with so many training images and captions, and 5,000 validation images."""
    rng = random.Random(seed)
    sentences = [entry["caption"] for split in SPLITS for entry in captions_of(source, split)["annotations"]]
    words = [word for sentence in sentences for word in sentence.split() if word.isalpha()]
    photographs = sorted((source / "val2017").resolve().iterdir())
    (folder / "annotations").mkdir(parents=True)
    for split, count, texts in (
        ("train", images, captions),
        ("val", min(VAL_IMAGES, images), 5 * min(VAL_IMAGES, images)),
    ):
        (folder / f"{split}2017").mkdir()
        listed = []
        for number in range(count):
            image_id = 5 * number + (split == "val")
            name = f"{image_id:012d}.jpg"
            listed.append(
                {
                    "license": 3,
                    "file_name": name,
                    "coco_url": f"http://images.cocodataset.org/{split}2017/{name}",
                    "height": 480,
                    "width": 640,
                    "date_captured": "2013-11-14 11:18:45",
                    "flickr_url": f"http://farm9.staticflickr.com/8186/{number:010d}_a1b2c3d4e5_z.jpg",
                    "id": image_id,
                }
            )
            path = folder / f"{split}2017" / name
            if split == "train":
                path.touch()
            else:
                path.symlink_to(photographs[number % len(photographs)])
        annotations = []
        for number in range(texts):
            sentence = [
                rng.choice(words) if word.isalpha() and rng.random() < 1 / 3 else word
                for word in rng.choice(sentences).split(" ")
            ]
            entry = {"image_id": listed[number % count]["id"], "id": number, "caption": " ".join(sentence)}
            annotations.append(entry)
        text = json.dumps({"info": {}, "licenses": [], "images": listed, "annotations": annotations})
        (folder / "annotations" / f"captions_{split}2017.json").write_text(text)


def transform(norm: object) -> Callable[..., Any]:
    from torchvision import transforms

    return transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor()])


def captions(folder: Path) -> Callable[[], int]:
    import filelock  # noqa: F401
    import nltk.tokenize  # noqa: F401

    from lemur_caption.dataset.caption_cache import open_captions

    return lambda: len(open_captions(folder).train)


def load(folder: Path) -> Callable[[], int]:
    captions(folder)
    from lemur_caption.dataset import coco

    return lambda: len(coco.load(folder, transform(None)).train)


def lemurs(root: Path) -> Callable[[], int]:
    """LEMUR's loader in `root`, whose `data/coco` is the folder."""
    os.chdir(root)
    import nltk
    from ab.nn.loader.coco_ import Caption

    nltk.download = lambda name: True
    try:
        Caption.word_tokenize("a cat")
    except LookupError:
        whole = Caption.word_tokenize
        Caption.word_tokenize = lambda text: whole(text, preserve_line=True)
    return lambda: len(Caption.loader(transform, "img-captioning")[2])


SIDES = {"captions": captions, "load": load, "lemur": lemurs}


def measure(side: str, folder: Path) -> None:
    """In a child process: open, and print what it took as JSON."""
    call = SIDES[side](folder)
    before, cpu = time.perf_counter(), time.process_time()
    images = call()
    result = {"seconds": time.perf_counter() - before, "cpu": time.process_time() - cpu, "images": images}
    result["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps(result))


def opened(label: str, side: str, folder: Path) -> float:
    """Measure in a child; prints a line and returns processor seconds a training image."""
    command = [sys.executable, __file__, str(folder), "--measure", side]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(finished.stdout.splitlines()[-1])
    each = float(result["cpu"]) / int(result["images"])
    print(
        f"{label:<28} {result['seconds']:8.3f} s  {result['cpu']:8.3f} CPU s  {result['mib']:6.0f} MiB  "
        f"{each * 1e6:9.1f} us a training image",
        flush=True,
    )
    return each


def linked(folder: Path, source: Path) -> Path:
    """A folder that can be written, with the content of `source`."""
    folder.mkdir(parents=True)
    for entry in source.resolve().iterdir():
        if not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a caption folder with its images, such as coco-mini")
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--captions", type=int, default=591_753)
    parser.add_argument(
        "--keep", type=Path, help="make the large folder here and leave it, or use the one that is here"
    )
    parser.add_argument("--measure", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.folder)
        return
    os.environ.pop("LEMUR_CAPTION_CACHE", None)
    with tempfile.TemporaryDirectory() as scratch:
        large = options.keep or Path(scratch) / "large"
        if not large.exists():
            make(large, options.folder, options.images, options.captions)
        root = Path(scratch) / "root"
        small = linked(root / "data" / "coco", options.folder)
        (root / "ab").mkdir()
        (root / "README.md").touch()
        lemur = opened("LEMUR, COCO_MINI", "lemur", root)
        for name, folder in (("COCO_MINI", small), ("COCO's size", large)):
            for side in ("captions", "load"):
                shutil.rmtree(folder / ".lemur-caption", ignore_errors=True)
                cold = opened(f"{side} cold, {name}", side, folder)
                warm = opened(f"{side} warm, {name}", side, folder)
                print(f"  {lemur / cold:.1f} times faster cold, {lemur / warm:.1f} times faster warm")


if __name__ == "__main__":
    main()
