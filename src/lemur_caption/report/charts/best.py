"""The best Net of each family beside the baselines, after the last epoch."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import Source
from ..table import Row, Table
from .bars import Bar, Piece, bars
from .svg import Chart, Tags, drawing

_MOST = 24


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    hand_made = {net.entry.candidate.name for net in source.nets if net.is_baseline}
    groups: dict[str, list[Row]] = {}
    for row in tables["best"].rows if "best" in tables else []:
        groups.setdefault(str(row["budget"]), []).append(row)
    for number, (budget, rows) in enumerate(groups.items()):
        shown = []
        for row in rows[:_MOST]:
            score, is_baseline = float(row["last"] or 0), row["family"] in hand_made
            tip = f"{row['family']}: {score:.4f} ({row['id']}), best epoch {float(row['peak'] or 0):.4f}"
            tags = Tags(tip, None if is_baseline else str(row["family"]))
            shown.append(
                Bar(str(row["family"]), f"{score:.4f}", [Piece(score, "baseline" if is_baseline else "up", tags)])
            )
        top = max(float(row["last"] or 0) for row in rows) or 1.0
        inside, height = bars(shown, 0.0, top * 1.05)
        title = f"Best Net of each family: {budget}"
        description = "; ".join(piece.tags.tip for bar in shown for piece in bar.pieces)
        svg = drawing(f"chart-best-{number}", title, description, inside, height)
        yield Chart("best", title, description, svg, [("up", "generated"), ("baseline", "baselines")])
