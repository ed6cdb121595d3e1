"""`experiment.json`: which search of an experiment is which run of the records."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..report.output.files import replace
from ..search.records import Records, Run, RunState
from ..search.settings import Settings

NAME = "experiment.json"


class Book:
    """The runs of an experiment's folder. Written in one step whenever something changes; nothing is ever taken out."""

    def __init__(self, folder: Path, root: Path) -> None:
        """Open or begin the book of `folder`, whose runs are recorded at `root`.

        Raises UsageError for an unusable folder, a damaged file, and a book of another root.
        """
        self._path = folder / NAME
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            content = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
            self._runs = {int(number): dict(run) for number, run in content.get("runs", {}).items()}
        except OSError as error:
            raise UsageError(f"the folder {folder} cannot be used ({error.strerror}); choose another") from error
        except (ValueError, AttributeError, TypeError) as error:
            raise UsageError(f"{self._path} is damaged ({error}); move it away to begin anew") from error
        self._root = str(root)
        if (before := content.get("root", self._root)) != self._root:
            raise UsageError(f"{folder} belongs to the root {before}; give --root {before}, or another --to")

    def find(self, settings: Settings, records: Records) -> Run | None:
        """The run of a search, where it was begun; also one that was killed before the book could take note of it."""
        for run in records.runs():
            if _same(run, settings) and (run.id in self._runs or self._orphan(run, records)):
                return run
        return None

    def _orphan(self, run: Run, records: Records) -> bool:
        """Whether a run has only been numbered, by a process that is gone."""
        holder = records.holder(run.id)
        gone = holder is None or not holder.alive
        return run.state is RunState.RUNNING and gone and not records.states(run.id)

    def add(self, run: int, settings: Settings) -> None:
        """Take note of a search's run."""
        with self._lock:
            self._runs.setdefault(run, {"seconds": 0.0, "settings": settings.to_dict()})
            self._write()

    def seconds(self, run: int) -> float:
        """What the search has taken so far, interruptions left out."""
        return float(self._runs[run].get("seconds", 0.0)) if run in self._runs else 0.0

    def spent(self, run: int, seconds: float) -> None:
        """Take note of what the search has taken in all. May be called from any thread."""
        with self._lock:
            self._runs[run]["seconds"] = seconds
            self._write()

    def _write(self) -> None:
        content: dict[str, Any] = {"root": self._root, "runs": self._runs}
        replace(self._path, (json.dumps(content, indent=1) + "\n").encode("utf-8"))


def _same(run: Run, settings: Settings) -> bool:
    # A run of an older version lacks the settings that came since, and had their defaults.
    return Settings().to_dict() | run.settings == settings.to_dict()
