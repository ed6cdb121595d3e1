"""What the commands that read the records have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..lemur.root import find_root

if TYPE_CHECKING:
    from ..search.records import Records


def open_records(root: Path | None) -> Records:
    """The records at a root. Raises UsageError where nothing has been recorded: a reader makes no database."""
    from ..search.records import Records, database_path

    folder = find_root(root or Path.cwd())
    if not database_path(folder).exists():
        raise UsageError(f"nothing is recorded at {folder}; `lemur-caption search` records, --root names another root")
    return Records.open(folder)


def run_number(text: str) -> int:
    """The number of a run. Raises UsageError for anything else."""
    if not text.isdecimal():
        raise UsageError(f"`{text}` is no run; give a run's number, `lemur-caption runs` lists them")
    return int(text)
