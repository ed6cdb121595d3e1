"""The tables, made one migration after another. A migration that was released is never edited; a new one follows it.

run <- claim                          one search, and who worked on it when
run <- candidate <- trail             a candidate has the trail that was saved last; an older one that a later
                                      save contradicts stays beside it
trail <- parent, repair, pass, finding, epoch
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from importlib.metadata import version

# "LeCa": marks a file as ours.
APPLICATION_ID = 0x4C654361

Migration = Callable[[sqlite3.Connection], None]
MIGRATIONS: dict[str, Migration] = {}


def now() -> str:
    """The time as the records keep it: ISO 8601 in UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def migration(function: Migration) -> Migration:
    """Add a migration; the order in this file is the order in which they are applied."""
    MIGRATIONS[function.__name__] = function
    return function


def apply(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Apply the named migrations inside the transaction that is open."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied TEXT NOT NULL, lemur_caption TEXT NOT NULL)"
    )
    for name in names:
        MIGRATIONS[name](connection)
        connection.execute("INSERT INTO migration VALUES (?, ?, ?)", (name, now(), version("lemur-caption")))


@migration
def m001_runs(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE run (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            settings TEXT NOT NULL,
            versions TEXT NOT NULL,
            started TEXT NOT NULL,
            ended TEXT,
            state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'stopped', 'failed'))
        )"""
    )
    connection.execute(
        """
        CREATE TABLE claim (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES run (id),
            owner TEXT NOT NULL,
            host TEXT NOT NULL,
            pid INTEGER NOT NULL,
            process_started REAL NOT NULL,
            versions TEXT NOT NULL,
            claimed TEXT NOT NULL,
            released TEXT
        )"""
    )
    connection.execute("CREATE UNIQUE INDEX one_claim_a_run ON claim (run) WHERE released IS NULL")


@migration
def m002_candidates(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE candidate (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES run (id),
            number INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('planned', 'answered', 'checked', 'training', 'ended')),
            UNIQUE (run, number)
        )"""
    )
    connection.execute(
        """
        CREATE TABLE trail (
            id INTEGER PRIMARY KEY,
            candidate INTEGER NOT NULL REFERENCES candidate (id),
            saved TEXT NOT NULL,
            name TEXT NOT NULL,
            family TEXT NOT NULL,
            source TEXT NOT NULL,
            model TEXT NOT NULL,
            seed INTEGER NOT NULL,
            strategy TEXT NOT NULL,
            temperature REAL NOT NULL,
            design TEXT,
            snippets TEXT NOT NULL,
            prompt TEXT NOT NULL,
            dropped TEXT NOT NULL,
            response TEXT NOT NULL,
            outcome TEXT,
            detail TEXT NOT NULL,
            parameters INTEGER,
            prompt_tokens INTEGER NOT NULL,
            answer_tokens INTEGER NOT NULL,
            seconds TEXT NOT NULL,
            quality REAL,
            samples TEXT NOT NULL
        )"""
    )
    connection.execute("CREATE INDEX trail_of_candidate ON trail (candidate, id)")
    connection.execute("CREATE INDEX trail_of_name ON trail (name)")
    connection.execute(
        """
        CREATE TABLE parent (
            trail INTEGER NOT NULL REFERENCES trail (id),
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            candidate INTEGER REFERENCES candidate (id),
            PRIMARY KEY (trail, position)
        )"""
    )
    connection.execute(
        """
        CREATE TABLE repair (
            trail INTEGER NOT NULL REFERENCES trail (id),
            position INTEGER NOT NULL,
            prompt TEXT NOT NULL,
            response TEXT NOT NULL,
            source TEXT NOT NULL,
            note TEXT NOT NULL,
            PRIMARY KEY (trail, position)
        )"""
    )
    # Round 0 is the answer, round n its nth repair: passes lead to the source of their round, findings are held against it.
    connection.execute(
        """
        CREATE TABLE pass (
            trail INTEGER NOT NULL REFERENCES trail (id),
            round INTEGER NOT NULL,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            source TEXT NOT NULL,
            note TEXT NOT NULL,
            PRIMARY KEY (trail, round, position)
        )"""
    )
    connection.execute(
        """
        CREATE TABLE finding (
            trail INTEGER NOT NULL REFERENCES trail (id),
            round INTEGER NOT NULL,
            position INTEGER NOT NULL,
            finding TEXT NOT NULL,
            rule TEXT GENERATED ALWAYS AS (json_extract(finding, '$.rule')) VIRTUAL,
            severity TEXT GENERATED ALWAYS AS (json_extract(finding, '$.severity')) VIRTUAL,
            PRIMARY KEY (trail, round, position)
        )"""
    )
    connection.execute(
        """
        CREATE TABLE epoch (
            trail INTEGER NOT NULL REFERENCES trail (id),
            position INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            accuracy REAL NOT NULL,
            train_loss REAL,
            test_loss REAL,
            seconds REAL NOT NULL,
            prm TEXT NOT NULL,
            PRIMARY KEY (trail, position)
        )"""
    )


@migration
def m003_structure(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE trail ADD COLUMN flops INTEGER")
    connection.execute("ALTER TABLE trail ADD COLUMN parts TEXT")


@migration
def m004_fingerprint(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE trail ADD COLUMN fingerprint TEXT")
