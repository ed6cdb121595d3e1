"""Converted model weights on disk: built once, never seen half-made, rebuilt when damaged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from lemur_caption.errors import GeneratorError

MANIFEST = "complete.json"


def cache_root() -> Path:
    """`$LEMUR_CAPTION_CACHE`, else `lemur-caption/` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if own := os.environ.get("LEMUR_CAPTION_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "lemur-caption"


def fingerprint(path: Path) -> str:
    """`<size in bytes>-<first 12 hex digits of the SHA-256>` of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"{path.stat().st_size}-{digest.hexdigest()[:12]}"


def is_whole(folder: Path) -> bool:
    """Whether every file that the manifest names is there in its full size."""
    try:
        sizes = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return False  # no manifest, or one that was itself torn: the folder has to be built again


def ensure(name: str, build: Callable[[Path], None]) -> Path:
    """The cache folder `name`, made by `build(empty folder)` where it is missing or damaged.

    Of processes that start at once one builds and the others wait for it.
    Raises GeneratorError where the cache cannot be written; what `build` raises passes through.
    """
    target = cache_root() / name
    if is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f"{name}.lock"):
            if not is_whole(target):
                _rebuild(target, build)
    except OSError as error:
        raise GeneratorError(
            f"the model cache '{target.parent}' cannot be written ({error.strerror or error}); "
            "free some space there or point LEMUR_CAPTION_CACHE at another folder"
        ) from error
    return target


def _rebuild(target: Path, build: Callable[[Path], None]) -> None:
    for stale in target.parent.glob(f".{target.name}-*"):  # of a process that was killed; the lock is ours
        shutil.rmtree(stale, ignore_errors=True)
    # Beside the target, so that the last step is a rename within one file system.
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        build(draft)
        sizes = {path.name: path.stat().st_size for path in sorted(draft.iterdir()) if path.is_file()}
        (draft / MANIFEST).write_text(json.dumps(sizes, indent=1), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
