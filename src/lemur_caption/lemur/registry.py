"""Our task in LEMUR's registry: the files that its entry points import, and the rows of its code tables.

LEMUR imports loaders straight from its package folder, and takes Nets, metrics and transforms from
there or, where no file is, from the code tables of its database. Both receive what
`lemur_caption/lemur_files/` holds, in LEMUR's layout, and the metrics that `metrics.files` makes;
nothing else is touched.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError, UsageError
from .root import Lemur, connect

MARKER = "# Part of lemur-caption (MIT licence)"
FILES = Path(__file__).parent.parent / "lemur_files"
KINDS = ("loader", "transform", "nn")
CODE_TABLES = ("metric", "transform", "nn")
# LEMUR's own transform that training uses unless told otherwise. LEMUR ships it as a file, but an
# empty database does not list it, and then `python -m ab.nn.train` has nothing to choose from.
DEFAULT_TRANSFORM = "norm_64"


def code_id(code: str) -> str:
    """LEMUR's identity of a piece of code (`ab.nn.util.Util.uuid4`): the MD5 of it without white space."""
    return hashlib.md5(re.sub(r"\s", "", code).encode()).hexdigest()


@dataclass(frozen=True)
class Item:
    """One thing that LEMUR gets from us: a `kind` of KINDS or `metric`, its LEMUR `name`, and the source `text`."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True)
class ItemStatus:
    """What LEMUR has of an item: `file` and `row` are `absent`, `current`, `outdated` or `foreign`; row None: no table."""

    item: Item
    file: str
    row: str | None

    @property
    def registered(self) -> bool:
        return self.file == "current" and self.row in (None, "current")


def items() -> list[Item]:
    """Everything that lemur-caption registers, in a fixed order."""
    from ..metrics import files
    from ..metrics.lemur_metric import METRICS

    found = [
        Item(kind, path.stem, path.read_text(encoding="utf-8"))
        for kind in KINDS
        for path in sorted((FILES / kind).glob("*.py"))
    ]
    return found + [Item("metric", name, files.text(name)) for name in METRICS]


def baseline_names() -> list[str]:
    """The hand-made Nets that come with lemur-caption."""
    return [item.name for item in items() if item.kind == "nn"]


def status(lemur: Lemur) -> list[ItemStatus]:
    """What is registered at `lemur`, item by item. Reads only, and works where no database is yet."""
    if not lemur.database.exists():
        return [ItemStatus(item, _file_state(lemur, item), _row_state(None, item)) for item in items()]
    with connect(lemur, read_only=True) as connection:
        return [ItemStatus(item, _file_state(lemur, item), _row_state(connection, item)) for item in items()]


def register(lemur: Lemur) -> list[str]:
    """Register every item; returns what was written, `kind/name` each, empty when all was in place.

    Raises UsageError when LEMUR has something else under one of our names, and then writes nothing.
    """
    states = status(lemur)
    for state in states:
        if "foreign" in (state.file, state.row):
            where = lemur.package / state.item.kind if state.file == "foreign" else lemur.database
            raise UsageError(
                f"LEMUR has a {state.item.kind} `{state.item.name}` that is not lemur-caption's, in {where}; "
                "rename or remove it, then register again"
            )
    written = []
    try:
        for state in states:
            if state.file != "current":
                _write(lemur.package / state.item.kind / f"{state.item.name}.py", state.item.text)
                written.append(f"{state.item.kind}/{state.item.name}")
        with connect(lemur) as connection:
            for state in states:
                if state.row in ("absent", "outdated"):
                    _upsert(connection, state.item)
                    written.append(f"{state.item.kind}/{state.item.name}")
            default = lemur.package / "transform" / f"{DEFAULT_TRANSFORM}.py"
            _insert(connection, Item("transform", DEFAULT_TRANSFORM, default.read_text(encoding="utf-8")))
    except OSError as error:
        raise StoreError(
            f"LEMUR's folder {lemur.package} cannot be written ({error.strerror}); use a virtual environment of your own"
        ) from error
    return list(dict.fromkeys(written))


def unregister(lemur: Lemur) -> tuple[list[str], list[str]]:
    """Take every item out again. Returns what was removed and what was kept, `kind/name` each.

    A code row that stored results refer to is kept, and so are files and rows that are not ours:
    nothing that was measured loses its source.
    """
    removed, kept = [], []
    states = status(lemur)
    try:
        with connect(lemur) as connection:
            for state in states:
                name = f"{state.item.kind}/{state.item.name}"
                if state.file in ("current", "outdated"):
                    (lemur.package / state.item.kind / f"{state.item.name}.py").unlink()
                    removed.append(name)
                if state.row in ("current", "outdated"):
                    if _referenced(connection, state.item):
                        kept.append(name)
                    else:
                        connection.execute(f"DELETE FROM {state.item.kind} WHERE name = ?", (state.item.name,))
                        removed.append(name)
                if "foreign" in (state.file, state.row):
                    kept.append(name)
    except OSError as error:
        raise StoreError(f"LEMUR's folder {lemur.package} cannot be written ({error.strerror})") from error
    return list(dict.fromkeys(removed)), list(dict.fromkeys(kept))


def _state(found: str | None, item: Item) -> str:
    if found is None:
        return "absent"
    if found == item.text:
        return "current"
    return "outdated" if found.startswith(MARKER) else "foreign"


def _file_state(lemur: Lemur, item: Item) -> str:
    path = lemur.package / item.kind / f"{item.name}.py"
    return _state(path.read_text(encoding="utf-8", errors="replace") if path.exists() else None, item)


def _row_state(connection: sqlite3.Connection | None, item: Item) -> str | None:
    if item.kind not in CODE_TABLES:
        return None
    if connection is None:
        return "absent"
    row = connection.execute(f"SELECT code FROM {item.kind} WHERE name = ?", (item.name,)).fetchone()
    return _state(row[0] if row else None, item)


def _referenced(connection: sqlite3.Connection, item: Item) -> bool:
    # LEMUR stores several metrics of one trial as one comma-separated name.
    query = f"SELECT 1 FROM stat WHERE instr(',' || {item.kind} || ',', ',' || ? || ',') LIMIT 1"
    return connection.execute(query, (item.name,)).fetchone() is not None


def _insert(connection: sqlite3.Connection, item: Item) -> None:
    connection.execute(
        f"INSERT OR IGNORE INTO {item.kind} (name, code, id) VALUES (?, ?, ?)",
        (item.name, item.text, code_id(item.text)),
    )


def _upsert(connection: sqlite3.Connection, item: Item) -> None:
    _insert(connection, item)
    connection.execute(
        f"UPDATE {item.kind} SET code = ?, id = ? WHERE name = ?", (item.text, code_id(item.text), item.name)
    )


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all, also when two processes register at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    finally:
        Path(scratch).unlink(missing_ok=True)
