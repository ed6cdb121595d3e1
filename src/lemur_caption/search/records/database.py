"""The SQLite file: opened by many processes at once, migrated by one, written in whole transactions."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, TypeVar

from ...errors import StoreError
from .migrations import APPLICATION_ID, MIGRATIONS, apply

T = TypeVar("T")

# How long a process waits for its turn. A save takes milliseconds, so whoever waits longer waits for a process that is
# stopped, not for one that works.
PATIENCE_SECONDS = 120.0
# SQLite itself waits longer with every attempt, so that the last of many writers hardly gets a turn, and in some cases it
# does not wait at all. Short pauses of random length are fair.
_SQLITE_WAITS_SECONDS = 0.01
_PAUSE_SECONDS = (0.001, 0.02)
_random = random.Random()


class Database:
    """One process's connection to the records, shared by its threads.

    Every failure is a StoreError, and what a failed transaction had written is undone.
    """

    # SQLite's locks do not survive a fork, and what a child inherits of them would let it damage the file: no
    # connection is open while a process forks, and parent and child each open one of their own when they next need it.
    _opened: ClassVar[weakref.WeakSet[Database]] = weakref.WeakSet()
    _held: ClassVar[list[Database]] = []

    def __init__(self, path: Path) -> None:
        """Open `path`, make it where it is missing, and bring an older one up to date.

        Raises StoreError when it cannot be used, is no database of ours, or was written by a newer lemur-caption.
        """
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the folder {path.parent} cannot be made ({error.strerror}); choose another root"
            ) from error
        with self._using():
            Database._opened.add(self)

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time."""
        with self._lock, self._as_store_error():
            if self._connection is None:
                self._connection = _patiently(self._connect)
            yield self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_SQLITE_WAITS_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        self._refuse_foreign(connection)
        # SQLite's default, `synchronous = FULL`, stays: what was saved survives a power cut too.
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if self._missing(connection):
            with _transaction(connection):
                self._refuse_foreign(connection)
                apply(connection, self._missing(connection))

    def _refuse_foreign(self, connection: sqlite3.Connection) -> None:
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if tables and owner != APPLICATION_ID:
            raise StoreError(f"{self.path} is another program's database; move it away")

    def _missing(self, connection: sqlite3.Connection) -> list[str]:
        """The names of migrations that this database lacks."""
        found = connection.execute("SELECT name FROM sqlite_master WHERE name = 'migration'").fetchone()
        applied = {name for (name,) in connection.execute("SELECT name FROM migration")} if found else set()
        if newer := applied - set(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer lemur-caption (it has `{min(newer)}`); upgrade lemur-caption"
            )
        return [name for name in MIGRATIONS if name not in applied]

    def close(self) -> None:
        """Close the connection. What was saved stays, and the next call of anything else opens it again."""
        with self._lock, self._as_store_error():
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries alone. All of them see one state of the database."""
        with self._using() as connection:
            _patiently(lambda: _begin_reading(connection))
            try:
                yield connection
            finally:
                _roll_back(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in one transaction, which no other process writes beside: all of it is stored, or nothing."""
        with self._using() as connection, _transaction(connection):
            yield connection

    @classmethod
    def before_fork(cls) -> None:
        """Close every connection of this process, and keep them closed until it has forked."""
        for database in list(cls._opened):
            database._lock.acquire()
            cls._held.append(database)
            database.close()

    @classmethod
    def after_fork(cls) -> None:
        """Let connections be opened again, in the parent and in the child."""
        while cls._held:
            cls._held.pop()._lock.release()

    @contextlib.contextmanager
    def _as_store_error(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise StoreError(f"the records {self.path} cannot be used ({error}); {_advice(error)}") from error


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=Database.before_fork, after_in_parent=Database.after_fork, after_in_child=Database.after_fork
    )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        yield
        _patiently(lambda: connection.execute("COMMIT"))
    except BaseException:
        _roll_back(connection)
        raise


def _begin_reading(connection: sqlite3.Connection) -> None:
    if not connection.in_transaction:
        connection.execute("BEGIN")
    # Only the first query takes the state that all of them then see.
    connection.execute("SELECT COUNT(*) FROM migration").fetchone()


def _roll_back(connection: sqlite3.Connection) -> None:
    # After some errors SQLite has rolled back already.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _patiently(attempt: Callable[[], T]) -> T:
    """The result of `attempt`, repeated while another process holds the lock that it needs."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_random.uniform(*_PAUSE_SECONDS))


def _advice(error: Exception) -> str:
    message = str(error)
    for words, advice in (
        ("full", "free some space, then go on"),
        ("disk I/O", "free some space or look after the disk, then go on"),
        ("readonly", "make the file and its folder writable"),
        ("unable to open", "make its folder readable and writable"),
        ("not a database", "move the file away or put a copy of the records back"),
        ("malformed", "move the file away or put a copy of the records back"),
        ("locked", "end the process that holds it"),
    ):
        if words in message:
            return advice
    return "nothing was changed"
