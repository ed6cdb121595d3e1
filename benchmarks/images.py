"""Samples a second from the data loader alone: LEMUR's own caption loader against ours, without and with the image cache.

    python benchmarks/images.py COCO_FOLDER [--copies 24] [--rounds 3] [--size 128 --size 256] [--workers 0 --workers 2]

Both sides read the photographs of COCO_FOLDER (COCO-2017 layout; `--copies` lists each that often, under links) with LEMUR's
transforms `norm_128` and `norm_256`, through a `DataLoader` of the same arguments, in turns, in one process; the fastest round of
each counts.
LEMUR's tokenizer is called with `preserve_line`, which spares it work and the download of NLTK's data.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--workers", type=int, action="append")
    options = parser.parse_args()
    source = options.folder.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        # LEMUR looks for its data below the working directory.
        os.chdir(scratch)
        os.environ["LEMUR_CAPTION_CACHE"] = str(Path(scratch) / "cache")
        data = Path(scratch) / "data" / "coco"
        for split in ("train", "val"):
            link_copies(source, data, split, options.copies if split == "train" else 1)
        compare(data, options.size or [128, 256], options.workers or [0, 2], options.rounds)
        os.chdir(source)


def link_copies(source: Path, data: Path, split: str, copies: int) -> None:
    """A split that lists each image of `source` `copies` times, under ids and names of their own."""
    content = json.loads((source / "annotations" / f"captions_{split}2017.json").read_text())
    (data / f"{split}2017").mkdir(parents=True)
    (data / "annotations").mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for copy in range(copies):
        shift = copy * 10**7
        for image in content["images"]:
            name = f"{copy:03d}-{image['file_name']}"
            (data / f"{split}2017" / name).symlink_to(source / f"{split}2017" / image["file_name"])
            images.append({**image, "id": image["id"] + shift, "file_name": name})
        for caption in content["annotations"]:
            annotations.append({**caption, "id": len(annotations), "image_id": caption["image_id"] + shift})
    text = json.dumps({"info": {}, "images": images, "annotations": annotations})
    (data / "annotations" / f"captions_{split}2017.json").write_text(text)


def compare(data: Path, sizes: list[int], workers: list[int], rounds: int) -> None:
    import nltk.tokenize
    import torch
    from torch.utils.data import DataLoader

    from lemur_caption.dataset import coco, image_cache

    nltk.download = lambda *arguments, **named: True
    nltk.tokenize.word_tokenize = partial(nltk.tokenize.word_tokenize, preserve_line=True)
    caption = importlib.import_module("ab.nn.loader.coco_.Caption")

    def epoch(dataset: Any, processes: int) -> float:
        """Images a second."""
        loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=processes, collate_fn=dataset.collate_fn)
        start = time.perf_counter()
        images = sum(len(images) for images, _ in loader)
        return images / (time.perf_counter() - start)

    rows = [f"{'px':>4} {'workers':>7} {'LEMUR':>9} {'cold':>9} {'warm':>9} {'cold/LEMUR':>11} {'warm/LEMUR':>11}"]
    for size in sizes:
        transform = importlib.import_module(f"ab.nn.transform.norm_{size}").transform(coco.IMAGENET_NORM)
        sides = {"LEMUR": caption.loader(lambda norm, transform=transform: transform, "img-captioning")[2]}
        sides["cold"] = coco.load(data, transform).train
        start = time.perf_counter()
        image_cache.prepare(data, "train", sides["cold"].file_names, transform)
        print(f"cache of {len(sides['cold'])} images of {size} px built in {time.perf_counter() - start:.1f} s")
        sides["warm"] = coco.load(data, transform).train
        assert sides["warm"].cached and not sides["cold"].cached
        differences = [
            (sides["LEMUR"][i][0] - sides[side][i][0]).abs().max() for side in ("cold", "warm") for i in range(40)
        ]
        levels = float(torch.stack(differences).max()) * min(coco.IMAGENET_NORM[1]) * 255
        print(f"largest difference from LEMUR's images, over 40 of each side: {levels:.2f} grey levels at most")
        for processes in workers:
            speeds = dict.fromkeys(sides, 0.0)
            for _ in range(rounds):
                for side, dataset in sides.items():
                    speeds[side] = max(speeds[side], epoch(dataset, processes))
            cold, warm = (speeds[side] / speeds["LEMUR"] for side in ("cold", "warm"))
            speed = " ".join(f"{found:9.0f}" for found in speeds.values())
            rows.append(f"{size:>4} {processes:>7} {speed} {cold:11.2f} {warm:11.1f}")
    print("\nsamples a second\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
