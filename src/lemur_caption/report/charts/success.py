"""Success rates with their intervals."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import Source
from ..table import Table, text
from .bars import Bar, bars
from .svg import Chart, Tags, drawing

_MOST = 24


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    rows = tables["success"].rows[:_MOST] if "success" in tables else []
    shown = []
    for row in rows:
        rate, low, high = (float(row[key] or 0) for key in ("rate", "low", "high"))
        label = f"{row['by']}: {row['group']}" if row["by"] in ("model", "strategy") else str(row["group"])
        percent, start, stop = (text(value, "percent") for value in (rate, low, high))
        tip = f"{label}: {row['succeeded']} of {row['ended']}, {percent}, 95 % interval {start} to {stop}"
        shown.append(Bar(label, percent, dot=rate, interval=(low, high), tags=Tags(tip)))
    if shown:
        inside, height = bars(shown, 0.0, 1.0, percent=True)
        title = "Success rates with 95 % Wilson intervals"
        description = "; ".join(bar.tags.tip for bar in shown if bar.tags)
        yield Chart("success", title, description, drawing("chart-success", title, description, inside, height))
