"""The image caches of a data folder: finding, building, listing and removing them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lemur_caption.dataset.cache_folder import cache_folder, locked
from lemur_caption.dataset.image_build import estimate, prepare
from lemur_caption.dataset.image_file import FORMAT, PAGE, CachedImages, files_digest, layout
from lemur_caption.dataset.images import BatchError
from lemur_caption.dataset.transforms import Transform
from lemur_caption.errors import DatasetError

__all__ = ["CacheEntry", "CachedImages", "clear", "estimate", "find", "prepare", "status"]


def find(data_folder: Path, split_name: str, file_names: Sequence[str], transform: Transform) -> CachedImages | None:
    """The images of `<data_folder>/<split_name>2017` under `transform`, or None without a complete, up-to-date cache of them."""
    if next(cache_folder(data_folder).glob(f"images-{split_name}-*.u8"), None) is None:
        return None  # before every image file is looked at
    try:
        expected = layout(data_folder, split_name, file_names, transform)
        return CachedImages(expected)
    except (DatasetError, OSError):
        return None


@dataclass(frozen=True)
class CacheEntry:
    """One image cache on the disk, complete or in the making. `valid`: complete, and its image files are unchanged."""

    path: Path
    split: str
    steps: str
    bytes: int
    done: int
    total: int
    valid: bool


def status(data_folder: Path, file_names: Mapping[str, Sequence[str]]) -> list[CacheEntry]:
    """The image caches of a data folder, by name; `file_names` are those of each split, for `valid`."""
    entries = []
    for path in sorted(cache_folder(data_folder).glob("images-*")):
        if path.suffix in (".u8", ".part"):
            entries.append(_entry(data_folder, path, file_names))
    return entries


def _entry(data_folder: Path, path: Path, file_names: Mapping[str, Sequence[str]]) -> CacheEntry:
    held = path.stat().st_blocks * 512
    with path.open("rb") as file:
        try:
            header = json.loads(file.readline(PAGE * 4))
            split_name, steps, shape = (
                str(header["split"]),
                str(header["steps"]),
                [int(side) for side in header["shape"]],
            )
        except (ValueError, KeyError, TypeError):
            return CacheEntry(path, "?", "?", held, 0, 0, valid=False)
    total = shape[0]
    if path.suffix == ".part":
        marks = path.with_suffix(".done")
        found = marks.read_bytes() if marks.exists() else b""
        # A mark stands for a block of images, all of one number but the last.
        return CacheEntry(path, split_name, steps, held, total * sum(found) // max(1, len(found)), total, valid=False)
    try:
        files = files_digest(data_folder / f"{split_name}2017", file_names.get(split_name, ()))
    except BatchError:
        files = ""
    header_bytes = len(json.dumps(header)) + 1
    whole = path.stat().st_size == -(-header_bytes // PAGE) * PAGE + math.prod(shape)
    valid = whole and header["format"] == FORMAT and header["files"] == files
    return CacheEntry(path, split_name, steps, held, total, total, valid)


def clear(data_folder: Path) -> int:
    """Remove all image caches of a data folder: the bytes freed. Raises DatasetError while one is being built."""
    folder = cache_folder(data_folder)
    freed = 0
    for stem in sorted({path.stem for path in folder.glob("images-*") if path.suffix in (".u8", ".part", ".done")}):
        try:
            with locked(folder, stem, seconds=0):
                for path in folder.glob(f"{stem}.*"):
                    if path.suffix in (".u8", ".part", ".done"):
                        freed += path.stat().st_blocks * 512
                        path.unlink()
        except TimeoutError:
            raise DatasetError(
                f"image cache {folder / stem} is being built by another process: stop that, or wait for it"
            ) from None
        except OSError as error:
            raise DatasetError(
                f"image caches in {folder} cannot be removed ({error.strerror}): check its permissions"
            ) from error
    return freed
