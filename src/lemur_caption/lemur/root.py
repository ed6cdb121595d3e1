"""Where LEMUR lives: its root folder (data, db, out) and its package folder (`ab/nn`).

LEMUR fixes its root at import, from the working directory, and prints while it does so. This
module finds the root by LEMUR's rule, imports LEMUR there, and keeps its prints out of stdout.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from ..errors import StoreError
from ..quiet import quiet


@dataclass(frozen=True)
class Lemur:
    """An attached LEMUR: `root` holds `data/`, `db/` and `out/`; `package` is the folder of `ab.nn`."""

    root: Path
    package: Path

    @property
    def database(self) -> Path:
        return self.root / "db" / "ab.nn.db"

    @property
    def data(self) -> Path:
        return self.root / "data"


def lemur_version() -> str:
    """The installed nn-dataset's version. Raises StoreError when it is not installed."""
    try:
        return version("nn-dataset")
    except PackageNotFoundError as error:
        raise StoreError("LEMUR is not installed; run `pip install 'nn-dataset>=2.2.11'`") from error


def find_root(start: Path) -> Path:
    """LEMUR's own rule: the nearest folder upwards that holds `ab/` and `README.md`, else `start`."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / "ab").exists() and (folder / "README.md").exists():
            return folder
    return start


def pin_root(folder: Path) -> None:
    """Make `folder` a LEMUR root by LEMUR's rule, whatever lies above it."""
    (folder / "ab").mkdir(parents=True, exist_ok=True)
    (folder / "README.md").touch()


def package_folder() -> Path:
    """The folder of the installed `ab.nn`, found without importing it."""
    lemur_version()
    spec = importlib.util.find_spec("ab.nn")
    if spec is None or spec.origin is None:
        raise StoreError("the package `ab.nn` of nn-dataset cannot be found; reinstall nn-dataset")
    return Path(spec.origin).parent


def attach(root: Path | str | None = None) -> Lemur:
    """Import LEMUR at `root` (default: the working directory) and return where it lives.

    The folder is made when it is missing. Raises StoreError when it cannot be, and when this
    process has LEMUR open at another root already, which LEMUR offers no way to change.
    """
    package = package_folder()
    constants: ModuleType | None = sys.modules.get("ab.nn.util.Const")
    wanted = find_root(Path(root) if root is not None else Path.cwd())
    if constants is None:
        try:
            wanted.mkdir(parents=True, exist_ok=True)
            before = Path.cwd()
            os.chdir(wanted)
        except OSError as error:
            raise StoreError(
                f"the LEMUR root {wanted} cannot be used ({error.strerror}); choose another with --root"
            ) from error
        try:
            with quiet():
                constants = importlib.import_module("ab.nn.util.Const")
        finally:
            os.chdir(before)
    opened = Path(constants.ab_root_path)
    if root is not None and opened.resolve() != wanted.resolve():
        raise StoreError(
            f"this process has LEMUR open at {opened} and cannot switch to {wanted}; "
            "start a new process there, or call without a root"
        )
    return Lemur(root=opened, package=package)


@contextlib.contextmanager
def connect(lemur: Lemur, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    """LEMUR's database, which must exist, in one transaction; every SQLite error becomes a StoreError."""
    mode = "ro" if read_only else "rw"
    try:
        connection = sqlite3.connect(f"{lemur.database.as_uri()}?mode={mode}", uri=True, timeout=300)
        try:
            with connection:
                yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(
            f"LEMUR's database {lemur.database} cannot be used ({error}); see `lemur-caption status`"
        ) from error
