"""What goes with higher scores: how far the mean with a value lies from the mean without it."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import Source
from ..table import Row, Table
from .bars import Bar, Piece, bars
from .svg import Chart, Tags, drawing

_MOST = 16
_FEWEST_NETS = 2


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    groups: dict[str, list[Row]] = {}
    for row in tables["features"].rows if "features" in tables else []:
        if row["difference"] is not None and int(row["nets"] or 0) >= _FEWEST_NETS:
            groups.setdefault(str(row["budget"]), []).append(row)
    for number, (budget, rows) in enumerate(groups.items()):
        rows.sort(key=lambda row: -abs(_difference(row)))
        shown = []
        for row in sorted(rows[:_MOST], key=lambda row: -_difference(row)):
            label, difference = f"{row['part']}: {row['value']} ({row['nets']} Nets)", _difference(row)
            tags = Tags(f"{label}: mean {float(row['mean'] or 0):.4f}, {difference:+.4f} against the others")
            shown.append(
                Bar(label, f"{difference:+.4f}", [Piece(difference, "up" if difference >= 0 else "down", tags)])
            )
        most = max(abs(_difference(row)) for row in rows) or 1.0
        inside, height = bars(shown, -most, most, mark=0.0)
        title = f"Mean score with a part against without it: {budget}"
        description = "; ".join(piece.tags.tip for bar in shown for piece in bar.pieces)
        yield Chart(
            "features", title, description, drawing(f"chart-features-{number}", title, description, inside, height)
        )


def _difference(row: Row) -> float:
    return float(row["difference"] or 0.0)
