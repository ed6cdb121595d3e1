"""The records of all searches at one LEMUR root, as the rest of lemur-caption uses them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ...candidate import Candidate
from ...errors import UsageError
from . import candidates, claims, runs
from .candidates import Entry, State
from .claims import Claim
from .database import Database
from .runs import Run, RunState


def database_path(root: Path) -> Path:
    """Where the records of a LEMUR root lie: beside `db/`, which LEMUR's users delete when they update."""
    return root / "lemur-caption" / "records.db"


class Records:
    """Runs and their candidates. Safe to use from several threads and, each with its own, from several processes.

    Nothing that was stored is ever deleted. Every method raises StoreError where the database cannot do its work (a full
    disk, a damaged file), and nothing of that call is stored then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, root: Path) -> Records:
        """The records at a LEMUR root, made where there are none and brought up to date where they are older.

        Raises StoreError when they cannot be used, or were written by a newer lemur-caption.
        """
        return cls(Database(database_path(root)))

    @property
    def path(self) -> Path:
        """The database file."""
        return self._database.path

    def close(self) -> None:
        """Close the database; the last process to do so leaves one file."""
        self._database.close()

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start_run(self, settings: Mapping[str, Any]) -> int:
        """Begin a run, `running`, and return its number. Raises UsageError for settings that are not JSON."""
        with self._database.writing() as connection:
            return runs.insert(connection, settings)

    def finish_run(self, run: int, state: RunState | str) -> None:
        """Say how a run ended: `finished`, `stopped` or `failed`. Raises UsageError for an unknown run."""
        with self._database.writing() as connection:
            runs.set_state(connection, run, RunState(state))

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        with self._database.reading() as connection:
            return runs.select(connection)

    def run(self, run: int) -> Run:
        """One run. Raises UsageError for an unknown number."""
        with self._database.reading() as connection:
            found = runs.select(connection, run)
        if not found:
            raise runs.unknown(run)
        return found[0]

    def latest_unfinished(self) -> Run | None:
        """The run to resume where none is named: the youngest that is not `finished`."""
        return next((run for run in reversed(self.runs()) if run.state is not RunState.FINISHED), None)

    @contextlib.contextmanager
    def claim(self, run: int, owner: str = "", *, force: bool = False) -> Iterator[None]:
        """Work on a run alone, as long as the context lasts. The run is `running` from then on.

        The claim of a dead process of this host is taken over. Raises StoreError while a living process, or one of
        another host, has the run; `force` takes it over all the same.
        """
        with self._database.writing() as connection:
            claim = claims.take(connection, run, owner, force)
        try:
            yield
        finally:
            with self._database.writing() as connection:
                claims.release(connection, claim)

    def holder(self, run: int) -> Claim | None:
        """Who has claimed a run and not released it; see `Claim.alive`."""
        with self._database.reading() as connection:
            return claims.holder(connection, run)

    def save(
        self,
        run: int,
        index: int,
        candidate: Candidate,
        state: State | str,
        *,
        quality: float | None = None,
        samples: list[dict[str, str]] | None = None,
    ) -> None:
        """Store a candidate with its whole trail, all or nothing. A second call with the same changes nothing.

        What was saved before stays: where the candidate contradicts it (another answer, a training begun anew), the
        older trail is kept beside the new one. `quality` and `samples`, where not given, stay what they were. Raises
        StoreError when the candidate has ended and this would change its outcome, and ValueError for an ended candidate
        without an outcome.
        """
        with self._database.writing() as connection:
            candidates.save(connection, run, index, candidate, State(state), quality, samples)

    def entries(self, run: int) -> list[Entry]:
        """The candidates of a run with all that is known of them, in order of index."""
        with self._database.reading() as connection:
            return list(candidates.select(connection, "run = ?", (run,)))

    def candidates(self, run: int, state: State | str | None = None) -> list[tuple[int, State, Candidate]]:
        """Index, state and candidate, in order of index; only those in `state` where it is given."""
        entries = self.entries(run)
        return [(e.index, e.state, e.candidate) for e in entries if state is None or e.state is State(state)]

    def candidate(self, which: str) -> Entry:
        """The candidate `RUN/INDEX`, or the youngest of that LEMUR name. Raises UsageError where there is none."""
        if match := re.fullmatch(r"(\d+)/(-?\d+)", which):
            condition, values = "run = ? AND number = ?", tuple(map(int, match.groups()))
            with self._database.reading() as connection:
                found = list(candidates.select(connection, condition, values))
        else:
            condition = "id = (SELECT candidate FROM trail WHERE name = ? ORDER BY id DESC LIMIT 1)"
            with self._database.reading() as connection:
                found = list(candidates.select(connection, condition, (which,)))
        if not found:
            raise UsageError(f"the records have no candidate `{which}`; give RUN/INDEX or a Net's whole name")
        return found[0]

    def names(self) -> set[str]:
        """The names of all Nets that searches have made, the baselines left out."""
        with self._database.reading() as connection:
            query = "SELECT trail.name FROM trail JOIN candidate ON candidate.id = trail.candidate WHERE number >= 0"
            return {name for (name,) in connection.execute(query)}

    def states(self, run: int) -> dict[int, State]:
        """How far each candidate of a run has come, by index."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT number, state FROM candidate WHERE run = ? ORDER BY number", (run,))
            return {index: State(state) for index, state in rows}
