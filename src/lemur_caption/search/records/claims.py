"""Who works on a run: at most one process at a time, and a dead one holds nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import dataclass

import psutil

from ...errors import StoreError
from .migrations import now
from .rows import to_json
from .runs import RunState, set_state, versions

# The kernel counts a process's start in ticks of 10 ms; clocks are set while processes run.
_SAME_START_SECONDS = 2.0


@dataclass(frozen=True)
class Claim:
    """A process that works, or worked, on a run. `process_started` is its start in seconds since 1970."""

    id: int
    run: int
    owner: str
    host: str
    pid: int
    process_started: float

    @property
    def alive(self) -> bool:
        """Whether the process still runs, as far as can be known: one on another host counts as alive."""
        if self.host != platform.node():
            return True
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.process_started) < _SAME_START_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def holder(connection: sqlite3.Connection, run: int) -> Claim | None:
    """The claim on a run that has not been released."""
    query = """
        SELECT id, run, owner, host, pid, process_started FROM claim
        WHERE run = ? AND released IS NULL"""
    row = connection.execute(query, (run,)).fetchone()
    return Claim(*row) if row else None


def take(connection: sqlite3.Connection, run: int, owner: str, force: bool) -> int:
    """Claim a run for this process and make it `running`; the claim's id. A dead process's claim is taken over."""
    set_state(connection, run, RunState.RUNNING)
    if held := holder(connection, run):
        if held.alive and not force:
            where = f"process {held.pid} on {held.host} ({held.owner or 'no name'})"
            if held.host == platform.node():
                raise StoreError(f"{where} works on run {run}; end it first, or wait until it is done")
            raise StoreError(f"{where} has not released run {run}; once you know that it is gone, give --take-over")
        release(connection, held.id)
    values = (run, owner, platform.node(), os.getpid(), psutil.Process().create_time(), to_json(versions()), now())
    cursor = connection.execute(
        "INSERT INTO claim (run, owner, host, pid, process_started, versions, claimed) VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    return int(cursor.lastrowid or 0)


def release(connection: sqlite3.Connection, claim: int) -> None:
    connection.execute("UPDATE claim SET released = ? WHERE id = ? AND released IS NULL", (now(), claim))
