"""Weights of trained Nets: `<root>/out/lemur-caption/weights/<dataset>/<name>.pt`, a state_dict, and what it belongs to.

The file comes out of a sandboxed child and is only ever read in one, with torch's `weights_only`: this
module copies bytes. A JSON file beside it says which Net, hyperparameters and captions it was trained with.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import DatasetError, StoreError, UsageError
from .registry import code_id
from .trial import WEIGHTS, TrialJob


class NotPlainError(ValueError):
    """A Net left something else than a plain file of reasonable size where its output belongs."""


@dataclass(frozen=True)
class Weights:
    """Kept weights: `path` of the state_dict, `code` the Net's `code_id`, `prm` its hyperparameters with the transform,
    `captions` the digest of the training captions, which fix the vocabulary."""

    path: Path
    code: str
    prm: dict[str, Any]
    captions: str


def weights_path(root: Path, dataset: str, name: str) -> Path:
    """Where the weights of the Net `name` for `dataset` are kept."""
    return root / "out" / "lemur-caption" / "weights" / dataset / f"{name}.pt"


def captions_digest(folder: Path) -> str:
    """SHA-256 of the training captions of a folder in COCO layout. Raises DatasetError where they cannot be read."""
    path = folder / "annotations" / "captions_train2017.json"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): put COCO's caption annotations there") from error


@contextmanager
def plain_file(path: Path, most_bytes: int) -> Iterator[IO[bytes]]:
    """A file that a child process left, open for reading. Raises NotPlainError for a link, a pipe, a folder or too much."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise NotPlainError(f"{path.name}: {error.strerror}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > most_bytes:
        os.close(descriptor)
        raise NotPlainError(f"{path.name}: not a plain file of at most {most_bytes} bytes")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def keep(root: Path, name: str, job: TrialJob, data: Path, scratch: Path) -> Path:
    """Keep the weights that a finished trial left in `scratch`; the last trial's replace earlier ones.

    Raises NotPlainError for what is no file, and StoreError where the root cannot be written.
    """
    target = weights_path(root, job.dataset, name)
    about = Weights(target, code_id(job.source), job.prm(), captions_digest(data))
    with plain_file(scratch / WEIGHTS, 1 << 30) as left:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Without its description a file of weights counts as absent, so a half-done exchange is never used.
            _about(target).unlink(missing_ok=True)
            part = target.with_suffix(f".{os.getpid()}.part")
            try:
                with part.open("wb") as file:
                    while block := left.read(1 << 20):
                        file.write(block)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
            described = {key: value for key, value in asdict(about).items() if key != "path"}
            _about(target).write_text(json.dumps(described, indent=1), encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"the weights of {name} could not be kept in {target.parent} ({error.strerror}); "
                "free some disk space or check its permissions, then train it again"
            ) from error
    return target


def find(root: Path, dataset: str, name: str, source: str, data: Path) -> Weights | None:
    """The kept weights of the Net `name` for `dataset`, or None.

    Raises UsageError where they belong to other code or other training captions than these.
    """
    path = weights_path(root, dataset, name)
    try:
        about = json.loads(_about(path).read_text(encoding="utf-8"))
        found = Weights(path, about["code"], dict(about["prm"]), about["captions"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{_about(path)} is damaged ({error}); remove it, or {_again(name, dataset)}") from error
    if not path.exists():
        return None
    if found.code != code_id(source):
        raise UsageError(f"the weights {path} belong to another version of {name}; {_again(name, dataset)}")
    if found.captions != captions_digest(data):
        raise UsageError(f"the weights {path} were trained on other captions than {data} has; {_again(name, dataset)}")
    return found


def _about(path: Path) -> Path:
    return path.with_suffix(".json")


def _again(name: str, dataset: str) -> str:
    return f"train it again: lemur-caption train {name} --dataset {dataset} --keep-weights"
