"""Every table of a report, one a file, in the order of a report."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import UsageError
from ..source import Source
from ..table import Table
from . import (
    best,
    cost,
    epochs,
    families,
    features,
    findings,
    lemur,
    nets,
    outcomes,
    repairs,
    runs,
    samples,
    snippets,
    stages,
    success,
)

TABLES: dict[str, Callable[[Source], Table]] = {
    "families": families.table,
    "best": best.table,
    "lemur": lemur.table,
    "success": success.table,
    "outcomes": outcomes.table,
    "nets": nets.table,
    "epochs": epochs.table,
    "features": features.table,
    "samples": samples.table,
    "findings": findings.table,
    "repairs": repairs.table,
    "cost": cost.table,
    "stages": stages.table,
    "snippets": snippets.table,
    "runs": runs.table,
}


def check_name(name: str) -> None:
    """Raises UsageError for a name that no table has."""
    if name not in TABLES:
        raise UsageError(f"there is no table `{name}`; the tables are {', '.join(TABLES)}")


def build(source: Source, only: str | None = None) -> list[Table]:
    """All tables, or the one of this name. Raises UsageError for an unknown name."""
    if only is not None:
        check_name(only)
    return [make(source) for name, make in TABLES.items() if only in (None, name)]
