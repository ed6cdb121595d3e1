"""Candidates in the database: saved whole in one transaction, and read back whole."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ...candidate import Candidate
from ...errors import StoreError
from .migrations import now
from .rows import CHILDREN, TRAIL, TrailRows, to_candidate, to_rows


class State(str, Enum):
    """How far a candidate has come. Only an `ended` one is done."""

    PLANNED = "planned"
    ANSWERED = "answered"
    CHECKED = "checked"
    TRAINING = "training"
    ENDED = "ended"


@dataclass(frozen=True)
class Entry:
    """A candidate as the records know it.

    `trails` counts its trails: more than one where it was begun anew, with another answer or another training.
    `quality` is LEMUR's score of the code, `samples` captions of the trained Net.
    """

    run: int
    index: int
    state: State
    candidate: Candidate
    trails: int = 1
    quality: float | None = None
    samples: list[dict[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy: the candidate's fields and those of the records beside it."""
        own = {"run": self.run, "index": self.index, "state": self.state.value, "trails": self.trails}
        return own | self.candidate.to_dict() | {"quality": self.quality, "samples": self.samples}


def save(
    connection: sqlite3.Connection,
    run: int,
    index: int,
    candidate: Candidate,
    state: State,
    quality: float | None,
    samples: list[dict[str, str]] | None,
) -> None:
    """Put a candidate and its trail into the transaction that is open."""
    if state is State.ENDED and candidate.outcome is None:
        raise ValueError(f"candidate {run}/{index} cannot end without an outcome")
    found = connection.execute("SELECT id, state FROM candidate WHERE run = ? AND number = ?", (run, index)).fetchone()
    if found is None:
        cursor = connection.execute(
            "INSERT INTO candidate (run, number, state) VALUES (?, ?, ?)", (run, index, state.value)
        )
        _insert_trail(connection, int(cursor.lastrowid or 0), to_rows(candidate, quality, samples or []))
        return
    identity, before = found[0], State(found[1])
    trail, older = _latest(connection, identity)
    rows = to_rows(
        candidate,
        older.trail["quality"] if quality is None else quality,
        json.loads(older.trail["samples"]) if samples is None else samples,
    )
    if before is State.ENDED and (state is not before or rows.trail["outcome"] != older.trail["outcome"]):
        wanted = rows.trail["outcome"] if state is State.ENDED else state.value
        raise StoreError(
            f"candidate {run}/{index} has ended as {older.trail['outcome']} and cannot become {wanted}; "
            "what was recorded stays"
        )
    connection.execute("UPDATE candidate SET state = ? WHERE id = ?", (state.value, identity))
    if rows.continues(older):
        _continue_trail(connection, trail, rows, older)
    else:
        _insert_trail(connection, identity, to_rows(candidate, quality, samples or []))


def _insert_trail(connection: sqlite3.Connection, candidate: int, rows: TrailRows) -> None:
    marks = ", ".join("?" * (len(TRAIL) + 2))
    cursor = connection.execute(
        f"INSERT INTO trail (candidate, saved, {', '.join(TRAIL)}) VALUES ({marks})",
        (candidate, now(), *(rows.trail[key] for key in TRAIL)),
    )
    _insert_children(connection, int(cursor.lastrowid or 0), rows, None)


def _continue_trail(connection: sqlite3.Connection, trail: int, rows: TrailRows, older: TrailRows) -> None:
    if rows == older:
        return
    columns = ", ".join(f"{key} = ?" for key in TRAIL)
    values = (now(), *(rows.trail[key] for key in TRAIL), trail)
    connection.execute(f"UPDATE trail SET saved = ?, {columns} WHERE id = ?", values)
    _insert_children(connection, trail, rows, older)


def _insert_children(connection: sqlite3.Connection, trail: int, rows: TrailRows, older: TrailRows | None) -> None:
    """Insert the rows that `older` does not have yet."""
    for table, columns in CHILDREN.items():
        new = rows.children[table][len(older.children[table]) if older else 0 :]
        marks = ", ".join("?" * (len(columns) + 1))
        connection.executemany(
            f"INSERT INTO {table} (trail, {', '.join(columns)}) VALUES ({marks})", [(trail, *row) for row in new]
        )
    connection.execute(
        """
        UPDATE parent SET candidate = (
            SELECT trail.candidate FROM trail WHERE trail.name = parent.name AND trail.id < ? ORDER BY id DESC LIMIT 1
        ) WHERE trail = ? AND candidate IS NULL""",
        (trail, trail),
    )


def _latest(connection: sqlite3.Connection, candidate: int) -> tuple[int, TrailRows]:
    """A candidate's current trail: its id and its rows."""
    query = f"SELECT id, {', '.join(TRAIL)} FROM trail WHERE candidate = ? ORDER BY id DESC LIMIT 1"
    trail, *values = connection.execute(query, (candidate,)).fetchone()
    children = {}
    for table, columns in CHILDREN.items():
        order = ", ".join(key for key in ("round", "position") if key in columns)
        rows = connection.execute(
            f"SELECT {', '.join(columns)} FROM {table} WHERE trail = ? ORDER BY {order}", (trail,)
        )
        children[table] = rows.fetchall()
    return trail, TrailRows(dict(zip(TRAIL, values, strict=True)), children)


def select(connection: sqlite3.Connection, condition: str, values: tuple[Any, ...]) -> Iterator[Entry]:
    """The candidates that a condition on `candidate` holds for, in order of run and index."""
    query = f"""
        SELECT id, run, number, state, (SELECT COUNT(*) FROM trail WHERE trail.candidate = candidate.id)
        FROM candidate WHERE {condition} ORDER BY run, number"""
    for identity, run, index, state, trails in connection.execute(query, values).fetchall():
        _, rows = _latest(connection, identity)
        samples = json.loads(rows.trail["samples"])
        yield Entry(run, index, State(state), to_candidate(rows), trails, rows.trail["quality"], samples)
