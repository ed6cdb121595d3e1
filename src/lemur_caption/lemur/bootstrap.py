"""LEMUR's database where there is none: downloaded when the hub answers, else LEMUR's own empty schema.

`import ab.nn.api` downloads the whole database when it finds none, and offline fails after half a
minute with files left behind. A database that is there first stops that.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import StoreError
from ..quiet import quiet
from .root import Lemur, connect, pin_root

_MAKE_SCHEMA = "from ab.nn.util.db.Init import init_db; init_db()"
_DOWNLOAD = "from ab.nn.util.hf.DB_from_HF import db_from_hf; db_from_hf()"
_TABLES = {"nn", "metric", "transform", "prm", "stat", "train_stat"}
_PROBE_SECONDS = 1.5


def hub_reachable() -> bool:
    """Whether the hub that LEMUR downloads from accepts a connection within 1.5 s."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    answered = threading.Event()

    def probe() -> None:
        try:
            socket.create_connection((endpoint.hostname or "", port), timeout=_PROBE_SECONDS).close()
        except OSError:
            return
        answered.set()

    # A name look-up knows no time-out of its own, so the probe runs in a thread that may be left behind.
    prober = threading.Thread(target=probe, daemon=True)
    prober.start()
    prober.join(_PROBE_SECONDS)
    return answered.is_set()


def ensure_database(lemur: Lemur, *, offline: bool) -> str:
    """Make sure that LEMUR's database exists and has LEMUR's tables; never removes a row.

    Returns what was done: `found`, `completed` (tables of a newer LEMUR added), `downloaded` or
    `created`. Raises StoreError when the file is no SQLite database or the root cannot be written.
    """
    if lemur.database.exists():
        return _complete(lemur)
    if not offline and hub_reachable() and _make(lemur, _DOWNLOAD) is None:
        return "downloaded"
    if failure := _make(lemur, _MAKE_SCHEMA):
        raise StoreError(f"LEMUR could not make its schema in {lemur.root} ({failure}); check the disk and nn-dataset")
    return "created"


def _complete(lemur: Lemur) -> str:
    """Add LEMUR's missing tables to an existing database: an empty file, or one of an older LEMUR."""
    try:
        with connect(lemur, read_only=True) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables >= _TABLES:
            return "found"
        with quiet():
            from ab.nn.util.db.Init import init_db

            init_db()
    except sqlite3.Error as error:
        raise StoreError(
            f"{lemur.database} cannot be opened as LEMUR's database ({error}); move the file away or choose another --root"
        ) from error
    return "completed"


def _make(lemur: Lemur, program: str) -> str | None:
    """Run LEMUR's `program` in a scratch root and move the finished database into place.

    Nothing half-made is ever visible: the database appears whole or not at all. Returns None, or
    the last line of what LEMUR's program said when it failed.
    """
    folder = lemur.database.parent
    made_folder = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside its target, so that the last step is a rename within one file system.
        scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    except OSError as error:
        raise StoreError(
            f"the LEMUR root {lemur.root} cannot be written ({error.strerror}); choose another with --root"
        ) from error
    try:
        pin_root(scratch)
        ran = subprocess.run([sys.executable, "-c", program], cwd=scratch, capture_output=True, text=True)
        if ran.returncode != 0:
            return (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        _publish(scratch / "db" / "ab.nn.db", lemur.database)
        return None
    except OSError as error:
        raise StoreError(
            f"the LEMUR root {lemur.root} cannot be written ({error.strerror}); choose another with --root"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if made_folder and not lemur.database.exists() and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()


def _publish(made: Path, target: Path) -> None:
    """Move `made` to `target` unless another process was first: its database may hold rows by now."""
    try:
        os.link(made, target)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not target.exists():
            made.replace(target)
