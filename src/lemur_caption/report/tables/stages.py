"""Where the time went: seconds by stage and run."""

from __future__ import annotations

from ..source import Source
from ..statistics import median
from ..table import Column, Row, Table

_MEANING = {
    "model": "the language model writes",
    "check": "the contract checks",
    "training": "LEMUR trains and evaluates",
    "quality": "LEMUR rates the code with pylint",
    "tuning": "Optuna's trials",
    "overhead": "the rest of a trial",
}


def table(source: Source) -> Table:
    columns = (
        Column("run", "run", "count"),
        Column("stage", "stage"),
        Column("meaning", "what happens"),
        Column("nets", "candidates and baselines", "count"),
        Column("seconds", "seconds", "seconds"),
        Column("total", "of", "seconds"),
        Column("share", "share", "percent"),
        Column("middle", "median", "seconds"),
    )
    rows: list[Row] = []
    for recorded in source.runs:
        spent: dict[str, list[float]] = {}
        for entry in recorded.entries:
            for stage, took in entry.candidate.seconds.items():
                # The records keep a number that was not finite as None.
                if took is not None:
                    spent.setdefault(stage, []).append(took)
        total = sum(map(sum, spent.values()))
        for stage in sorted(spent, key=lambda stage: [*_MEANING, stage].index(stage)):
            seconds = spent[stage]
            rows.append(
                {
                    "run": recorded.run.id,
                    "stage": stage,
                    "meaning": _MEANING.get(stage, ""),
                    "nets": len(seconds),
                    "seconds": sum(seconds),
                    "total": total,
                    "share": sum(seconds) / total if total else None,
                    "middle": median(seconds),
                }
            )
    note = "Stages of different candidates run side by side, so their sum is not the time that the run took."
    return Table("stages", "Time by stage", columns, rows, note)
