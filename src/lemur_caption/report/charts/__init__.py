"""Every chart of a report, one kind a file; each belongs to a table and shows that table's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..source import Source
from ..table import Table
from . import best, curves, features, findings, outcomes, scores, sizes, stages, success
from .svg import Chart

CHARTS: tuple[Callable[[Source, dict[str, Table]], Iterable[Chart]], ...] = (
    best.charts,
    success.charts,
    outcomes.charts,
    scores.charts,
    sizes.charts,
    curves.charts,
    features.charts,
    findings.charts,
    stages.charts,
)


def draw(source: Source, tables: Iterable[Table]) -> dict[str, list[Chart]]:
    """The charts of these tables, by the table's name; a chart of nothing is left out."""
    named = {table.name: table for table in tables}
    found: dict[str, list[Chart]] = {}
    for make in CHARTS:
        for chart in make(source, named):
            if chart.table in named:
                found.setdefault(chart.table, []).append(chart)
    return found
