"""Which rules candidates break most."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import Source
from ..table import Table
from .bars import Bar, Piece, bars
from .svg import Chart, Tags, drawing

_MOST = 16


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    rows = tables["findings"].rows[:_MOST] if "findings" in tables else []
    shown = []
    for row in rows:
        label = f"{row['rule']} {row['name']}"
        tags = Tags(
            f"{label}: {row['nets']} candidates, {row['findings']} findings, {row['mended']} of {row['sent_back']} mended"
        )
        style = "down" if row["severity"] == "error" else "warning"
        shown.append(Bar(label, str(row["nets"]), [Piece(float(row["nets"] or 0), style, tags)]))
    if shown:
        inside, height = bars(shown, 0.0, max(float(row["nets"] or 0) for row in rows) * 1.05, whole=True)
        title = "Candidates that break a rule"
        description = "; ".join(piece.tags.tip for bar in shown for piece in bar.pieces)
        svg = drawing("chart-findings", title, description, inside, height)
        errors = dict.fromkeys(row["severity"] == "error" for row in rows)
        legend = [("down", "errors") if error else ("warning", "warnings") for error in errors]
        yield Chart("findings", title, description, svg, legend)
