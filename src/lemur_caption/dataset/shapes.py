"""The `shapes` dataset: small rendered scenes in COCO-2017 layout, the same for the same seed."""

from __future__ import annotations

import errno
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lemur_caption.dataset.annotations import read_json
from lemur_caption.dataset.scene import describe, draw, sample_scene
from lemur_caption.errors import DatasetError

# Raise when scenes or wordings change: results on different renderings cannot be compared.
VERSION = 1
DESCRIPTION = "lemur-caption shapes"
JPEG_QUALITY = 90
# COCO's image ids are unique over both splits; validation images start here.
FIRST_VAL_ID = 500_001


def render_shapes(
    folder: Path,
    *,
    seed: int = 0,
    train: int = 1600,
    val: int = 400,
    size: int = 96,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Render the dataset into `folder`, byte for byte the same for the same arguments (and Pillow version).

    `train` and `val` count images, `size` is their side in pixels; scene number i does not depend on the counts.
    `progress` is called with the number of images done. A folder that holds this rendering is left as it is.

    Images are written beside `folder` and renamed at the end: it appears complete or not at all, also when two
    processes render at once. Raises DatasetError where `folder` holds something else or cannot be written.
    """
    info = {
        "description": DESCRIPTION,
        "version": VERSION,
        "seed": seed,
        "train": train,
        "val": val,
        "size": size,
    }
    if _holds(folder, info):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            # mkdtemp's own folder is private to the user; the one inside has ordinary permissions.
            rendering = scratch / folder.name
            _render(rendering, info, progress or (lambda done: None))
            rendering.rename(folder)
        finally:
            shutil.rmtree(scratch)
    except OSError as error:
        # Another process finished the same rendering first.
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and _holds(folder, info):
            return
        raise DatasetError(
            f"cannot render the shapes dataset into {folder} ({error.strerror}): free some space, or choose a writable root"
        ) from error


def _holds(folder: Path, info: dict[str, Any]) -> bool:
    """Whether `folder` holds this rendering; DatasetError where it holds anything else."""
    if not folder.exists() or (folder.is_dir() and next(folder.iterdir(), None) is None):
        return False
    for split in ("train", "val"):
        path = folder / "annotations" / f"captions_{split}2017.json"
        content = read_json(path) if path.exists() else None
        found = content.get("info") if isinstance(content, dict) else None
        if found != info:
            raise DatasetError(
                f"{folder} holds something other than the shapes dataset of this version and seed: delete or move it, "
                "and it is rendered again"
            )
    return True


def _render(folder: Path, info: dict[str, Any], progress: Callable[[int], None]) -> None:
    (folder / "annotations").mkdir(parents=True)
    done = 0
    for split, first_id in (("train", 1), ("val", FIRST_VAL_ID)):
        (folder / f"{split}2017").mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index in range(info[split]):
            # Seeding by text is stable over Python versions and ties a scene to its place alone.
            rng = random.Random(f"{info['seed']} {split} {index}")
            scene = sample_scene(rng)
            image_id = first_id + index
            name = f"{image_id:012d}.jpg"
            # Full chroma resolution: the colour of a small object is what a caption is about.
            draw(scene, info["size"]).save(folder / f"{split}2017" / name, quality=JPEG_QUALITY, subsampling=0)
            images.append({"id": image_id, "file_name": name, "width": info["size"], "height": info["size"]})
            for caption in describe(scene, rng):
                annotations.append({"id": len(annotations) + first_id * 5, "image_id": image_id, "caption": caption})
            done += 1
            progress(done)
        text = json.dumps({"info": info, "images": images, "annotations": annotations}, indent=1)
        (folder / "annotations" / f"captions_{split}2017.json").write_text(text, encoding="utf-8")
