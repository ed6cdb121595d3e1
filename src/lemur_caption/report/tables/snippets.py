"""Which snippets the prompts showed, and how the Nets did that were made with them."""

from __future__ import annotations

from ..source import Net, Source
from ..statistics import mean
from ..table import Column, Row, Table


def table(source: Source) -> Table:
    columns = (
        Column("snippet", "snippet"),
        Column("shown", "shown to", "count"),
        Column("trained", "trained", "count"),
        Column("rate", "success rate", "percent"),
        Column("mean", "mean score", "metric"),
    )
    shown: dict[str, list[Net]] = {}
    for net in source.candidates:
        for snippet in dict.fromkeys(net.entry.candidate.snippets):
            if net.ended:
                shown.setdefault(snippet, []).append(net)
    rows: list[Row] = []
    for snippet, nets in sorted(shown.items(), key=lambda item: (-len(item[1]), item[0])):
        trained = sum(net.success for net in nets)
        rows.append(
            {
                "snippet": snippet,
                "shown": len(nets),
                "trained": trained,
                "rate": trained / len(nets),
                "mean": mean([net.epochs[-1].accuracy for net in nets if net.whole]),
            }
        )
    note = "Mean over the Nets with all their epochs, whatever run they are from."
    return Table("snippets", "Snippets in the prompts", columns, rows, note)
