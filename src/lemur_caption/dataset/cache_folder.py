"""Where caches of a data folder lie, and how they are written so that nobody ever reads half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from lemur_caption.errors import LemurCaptionError

CACHE_VARIABLE = "LEMUR_CAPTION_CACHE"
FOLDER_NAME = ".lemur-caption"
# Longer than any caption cache takes to build; who waits in vain works without the cache.
LOCK_SECONDS = 600.0


class CacheError(LemurCaptionError):
    """A cache cannot be written or removed."""


def cache_folder(data_folder: Path) -> Path:
    """The folder of a data folder's caches: in `$LEMUR_CAPTION_CACHE` where that is set, else `.lemur-caption` inside it.

    The folder is not made here. Below `$LEMUR_CAPTION_CACHE` each data folder has its own, named by its resolved path.
    """
    if own := os.environ.get(CACHE_VARIABLE):
        digest = blake2b(os.fsencode(data_folder.resolve()), digest_size=8).hexdigest()
        return Path(own).absolute() / f"data-{digest}"
    return data_folder / FOLDER_NAME


@contextmanager
def locked(folder: Path, name: str, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock `name` of a cache folder, which is made if absent, against all other processes and threads.

    The kernel gives the lock back when its holder dies. Raises OSError where the folder cannot be written, and after `seconds` in
    vain TimeoutError, which is one.
    """
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock", timeout=seconds)
    try:
        lock.acquire()
    except NotImplementedError as error:  # a file system without locks
        raise OSError(str(error)) from error
    try:
        yield
    finally:
        lock.release()


def temporary_path(final: Path) -> Path:
    """A name beside `final` to write to before `publish`, this process's own."""
    return final.with_name(f"{final.name}.{os.getpid()}.tmp")


def publish(temporary: Path, final: Path) -> None:
    """Put a finished file in its place in one step, once its content is on the disk: readers see all of it or none.

    Both lie in one folder. Who has the old file open keeps it. Raises OSError; `temporary` is then left to the caller.
    """
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
    if os.name == "posix":  # elsewhere folders cannot be opened
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            # Network file systems may refuse this; the file is in its place all the same.
            with suppress(OSError):
                os.fsync(folder)
        finally:
            os.close(folder)


def remove_leftovers(final: Path) -> None:
    """Remove what killed writers of `final` left. For the holder of the lock that all writers of `final` take."""
    for leftover in final.parent.glob(f"{final.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def remove_if_unused(folder: Path) -> None:
    """Remove the locks that nobody holds, and then the cache folder if nothing else is in it."""
    for file in folder.glob("*.lock"):
        with suppress(OSError), locked(folder, file.stem, seconds=0):
            file.unlink()
    with suppress(OSError):
        folder.rmdir()
