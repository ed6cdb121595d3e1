"""Where the time went."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import Source
from ..table import Row, Table, text
from .bars import Bar, Piece, bars
from .svg import Chart, Tags, drawing

_STYLES = ("model", "check", "training", "quality", "tuning", "overhead")
_MOST = 16


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    groups: dict[str, list[Row]] = {}
    for row in tables["stages"].rows if "stages" in tables else []:
        groups.setdefault(f"run {row['run']}", []).append(row)
    shown = []
    for label, rows in list(groups.items())[-_MOST:]:
        pieces = [
            Piece(float(row["share"] or 0), _style(row), Tags(
                f"{label}, {row['stage']}: {text(row['seconds'], 'seconds')} s ({text(row['share'], 'percent')})"))
            for row in rows
        ]  # fmt: skip
        shown.append(Bar(label, f"of {text(rows[0]['total'], 'seconds')} s", pieces))
    if shown:
        inside, height = bars(shown, 0.0, 1.0, percent=True)
        title = "Time by stage"
        description = "; ".join(piece.tags.tip for bar in shown for piece in bar.pieces)
        present = dict.fromkeys((_style(row), str(row["stage"])) for rows in groups.values() for row in rows)
        yield Chart(
            "stages", title, description, drawing("chart-stages", title, description, inside, height), list(present)
        )


def _style(row: Row) -> str:
    return f"s-{row['stage']}" if row["stage"] in _STYLES else "s-other"
