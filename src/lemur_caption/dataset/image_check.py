"""Looking at the image files of a split before training: all are there, and those of a small split decode."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from lemur_caption.dataset.cache_folder import cache_folder, publish, temporary_path
from lemur_caption.dataset.images import read_image
from lemur_caption.errors import DatasetError

_log = logging.getLogger(__name__)


def check_images(folder: Path, split: str, names: Sequence[str], *, decode: bool) -> None:
    """Find absent files by one listing of the split's folder; with `decode`, decode each file that is new or changed.

    Files count as unchanged while their sizes and time stamps are. Raises DatasetError.
    """
    images = folder / f"{split}2017"
    try:
        with os.scandir(images) as entries:
            present = {entry.name: entry for entry in entries}
    except OSError as error:
        raise DatasetError(f"image folder {images} cannot be read ({error.strerror}): put the images there") from error
    absent = [name for name in names if name not in present]
    if absent:
        raise DatasetError(
            f"{len(absent)} of {len(names)} images are missing from {images} (first: {absent[0]}): "
            "restore them, or remove them from the caption file"
        )
    if not decode:
        return
    state = _state([present[name] for name in names])
    mark = cache_folder(folder) / f"decoded-{split}"
    if state is not None and _read(mark) == state:
        return
    for name in names:
        read_image(images / name, draft=1)
    if state is not None:
        _write(mark, state)


def clear(folder: Path) -> int:
    """Forget which images have been decoded: the bytes freed. Raises OSError."""
    freed = 0
    for mark in cache_folder(folder).glob("decoded-*"):
        freed += mark.stat().st_size
        mark.unlink()
    return freed


def _state(entries: Sequence[os.DirEntry[str]]) -> bytes | None:
    """A digest of the files' names, sizes and time stamps; None where one has none, as a link to nowhere."""
    digest = blake2b(digest_size=32)
    for entry in entries:
        try:
            found = entry.stat()
        except OSError:
            return None
        digest.update(b"%d %d %b\0" % (found.st_size, found.st_mtime_ns, os.fsencode(entry.name)))
    return digest.digest()


def _read(mark: Path) -> bytes | None:
    try:
        return mark.read_bytes()
    except OSError:
        return None


def _write(mark: Path, state: bytes) -> None:
    temporary = temporary_path(mark)
    try:
        temporary.write_bytes(state)
        publish(temporary, mark)
    except OSError as error:
        # The next run decodes them again; that the folder cannot be written is the caption cache's to say.
        _log.debug("%s cannot be written (%s)", mark, error)
