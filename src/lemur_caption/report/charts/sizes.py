"""Score against size."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import Source
from ..table import Table
from .outcomes import style
from .scores import MOST_BUDGETS, best_of, legend, summary, tags
from .svg import Chart, Plot, drawing, span


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    for number, (budget, nets) in enumerate(list(source.by_budget())[:MOST_BUDGETS]):
        known = [net for net in nets if net.whole and net.entry.candidate.parameters]
        ours, label = best_of([net for net in known if not net.is_baseline], budget)
        if len(ours) < 2:
            continue
        baselines = [net for net in known if net.is_baseline]
        drawn = ours + baselines
        sizes = [float(net.entry.candidate.parameters or 1) for net in drawn]
        metric = ours[0].recorded.metric
        plot = Plot.of((min(sizes) * 0.9, max(sizes) * 1.1), span([net.score or 0.0 for net in drawn], zero=True),
                       ("parameters", metric), log=True)  # fmt: skip
        for net, size in zip(drawn, sizes, strict=True):
            plot.point(size, net.score or 0.0, "baseline" if net.is_baseline else style(net.outcome), tags(net))
        title = f"Score against size: {label}"
        range_of = f"{min(sizes):,.0f} to {max(sizes):,.0f} parameters"
        description = f"{summary([net.score or 0.0 for net in ours], baselines, metric)}; {range_of}"
        svg = drawing(f"chart-sizes-{number}", title, description, plot.markup(), plot.height)
        yield Chart("nets", title, description, svg, legend(ours, baselines))
