"""How candidates ended, a bar a group."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import Source
from ..table import Row, Table, text
from .bars import Bar, Piece, bars
from .svg import Chart, Tags, drawing

_MOST = 24


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    groups: dict[str, list[Row]] = {}
    for row in tables["outcomes"].rows if "outcomes" in tables else []:
        label = f"{row['strategy']}, k = {row['snippets']}, {row['model']}"
        groups.setdefault(label, []).append(row)
    shown = []
    for label, rows in list(groups.items())[:_MOST]:
        pieces = [
            Piece(float(row["share"] or 0), style(str(row["outcome"])), Tags(
                f"{label}: {row['count']} {row['outcome']} ({text(row['share'], 'percent')})", outcome=str(row["outcome"])))
            for row in rows
        ]  # fmt: skip
        shown.append(Bar(label, f"of {rows[0]['total']}", pieces))
    if shown:
        inside, height = bars(shown, 0.0, 1.0, percent=True)
        title = "Outcomes of candidates"
        description = "; ".join(piece.tags.tip for bar in shown for piece in bar.pieces)
        present = dict.fromkeys(str(row["outcome"]) for rows in groups.values() for row in rows)
        svg = drawing("chart-outcomes", title, description, inside, height)
        yield Chart("outcomes", title, description, svg, [(style(outcome), outcome) for outcome in present])


def style(outcome: str) -> str:
    """The class that colours an outcome."""
    return f"o-{outcome.replace('_', '-')}"
