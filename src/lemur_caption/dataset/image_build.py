"""Building an image cache: in parallel, a block at a time, going on where a killed build stopped."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from lemur_caption.dataset.cache_folder import locked, publish
from lemur_caption.dataset.image_file import CachedImages, Layout, layout
from lemur_caption.dataset.images import read_pixels, strict_decoding
from lemur_caption.dataset.transforms import Transform
from lemur_caption.errors import DatasetError
from lemur_caption.machine import cores

# What a build writes between two syncs, and what a killed one loses at most twice of.
BLOCK_BYTES = 16 * 2**20
# How long to wait for another process that builds the same cache: all of COCO at 512 px takes less on one core.
BUILD_SECONDS = 6 * 3600.0

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""


def estimate(data_folder: Path, split_name: str, file_names: Sequence[str], transform: Transform) -> int:
    """Bytes of disk that `prepare` would still take. Raises as `layout` does."""
    return _missing_bytes(layout(data_folder, split_name, file_names, transform))


def prepare(
    data_folder: Path,
    split_name: str,
    file_names: Sequence[str],
    transform: Transform,
    *,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> CachedImages:
    """Build the cache of a split and a transform, unless it is there; `workers` threads, by default one a core.

    Of several processes one builds and the others wait for it. Raises DatasetError, in one line, where no cache can serve the
    transform, an image is absent or damaged, or the disk lacks room; what is on the disk by then is kept for the next call.
    """
    target = layout(data_folder, split_name, file_names, transform)
    try:
        with locked(target.path.parent, target.path.stem, BUILD_SECONDS):
            try:
                return CachedImages(target)
            except DatasetError:
                _build(target, data_folder / f"{split_name}2017", file_names, workers or cores(), on_progress)
            if layout(data_folder, split_name, file_names, transform).header != target.header:
                raise DatasetError(f"images of {data_folder} changed while they were read: run it again")
            publish(target.part, target.path)
            target.done.unlink()
            return CachedImages(target)
    except TimeoutError:
        raise DatasetError(f"another process builds {target.path} and does not end: stop it") from None
    except OSError as error:
        raise DatasetError(
            f"the image cache {target.path} cannot be written ({error.strerror}): {_remedy(error)}"
        ) from error


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space and run it again, or point $LEMUR_CAPTION_CACHE at another disk"
    return "check its folder, or point $LEMUR_CAPTION_CACHE at a writable one"


def _missing_bytes(target: Layout) -> int:
    try:
        CachedImages(target)
        return 0
    except DatasetError:
        held = target.part.stat().st_blocks * 512 if target.part.exists() else 0
        return max(0, target.bytes - held)


def _build(target: Layout, images: Path, file_names: Sequence[str], workers: int, on_progress: Progress | None) -> None:
    """Fill the part file; it is complete and on the disk when this returns."""
    total, *shape = target.shape
    size = math.prod(shape)
    step = max(1, BLOCK_BYTES // size)
    blocks = [range(start, min(start + step, total)) for start in range(0, total, step)]
    if not _can_resume(target, len(blocks)):
        _start(target, len(blocks))

    def write(index: int) -> None:
        pixels = target.plan.head(read_pixels(images / file_names[index]))
        if list(pixels.shape) != shape:
            raise DatasetError(
                f"image {images / file_names[index]} has another shape under the transform than the others"
            )
        place = len(target.header) + index * size
        if os.pwrite(part.fileno(), pixels.contiguous().numpy().data, place) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def settle(number: int, writes: list[Future[None]]) -> int:
        for count, future in enumerate(writes, start=1):
            future.result()
            report(written + count, total)
        os.fsync(part.fileno())
        os.pwrite(done.fileno(), b"\1", number)
        os.fsync(done.fileno())
        return len(writes)

    report = on_progress or (lambda done, total: None)
    with target.part.open("rb+") as part, target.done.open("rb+") as done, _threads(workers) as pool:
        marks = done.read()
        written = sum(len(block) for block, mark in zip(blocks, marks, strict=True) if mark)
        report(written, total)
        # While one block is synced, the next is being read.
        under_way: deque[tuple[int, list[Future[None]]]] = deque()
        for number, block in enumerate(blocks):
            if not marks[number]:
                under_way.append((number, [pool.submit(write, index) for index in block]))
            if len(under_way) > 1:
                written += settle(*under_way.popleft())
        while under_way:
            written += settle(*under_way.popleft())


def _can_resume(target: Layout, blocks: int) -> bool:
    """Whether the files of a killed build are this cache's, and whole."""
    try:
        with target.part.open("rb") as part:
            header = part.read(len(target.header))
        sizes = target.part.stat().st_size, target.done.stat().st_size
    except FileNotFoundError:
        return False
    return header == target.header and sizes == (target.bytes, blocks)


def _start(target: Layout, blocks: int) -> None:
    """Make the empty part file, with all its room taken at once: a disk that is too small shows before the work.

    The marks of done blocks come last: a part file without them counts for nothing.
    """
    for leftover in (target.done, target.part):
        leftover.unlink(missing_ok=True)
    free = shutil.disk_usage(target.part.parent).free
    if free < target.bytes:
        raise DatasetError(
            f"the image cache {target.path} needs {target.bytes / 1e6:,.1f} MB and the disk has {free / 1e6:,.1f} MB left: "
            "free some space, point $LEMUR_CAPTION_CACHE at another disk, or choose a transform of smaller images"
        )
    try:
        with target.part.open("wb") as part:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(part.fileno(), 0, target.bytes)
            else:
                part.truncate(target.bytes)
            part.write(target.header)
            part.flush()
            os.fsync(part.fileno())
        target.done.write_bytes(bytes(blocks))
    except OSError:
        target.part.unlink()
        raise


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that decode and resize, both of which run without Python's lock; on an error what waits is dropped."""
    per_thread = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(workers)
    try:
        with strict_decoding():
            yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(per_thread)
