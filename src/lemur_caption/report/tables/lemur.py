"""LEMUR's own captioning statistics of the same data and metric, by family of its names."""

from __future__ import annotations

import re

from ..source import Source, Stored
from ..table import Column, Row, Table


def table(source: Source) -> Table:
    columns = (
        Column("dataset", "dataset"),
        Column("metric", "metric"),
        Column("family", "family in LEMUR's store"),
        Column("nets", "Nets", "count"),
        Column("first", "best at epoch 1", "metric"),
        Column("best", "best", "metric"),
        Column("epoch", "at epoch", "count"),
        Column("net", "best Net", "name"),
    )
    wanted = {(run.setting("dataset"), run.metric) for run in source.runs}
    groups: dict[tuple[str, str, str], list[Stored]] = {}
    for result in source.stored:
        if (result.dataset, result.decisive) in wanted:
            family = re.sub(r"-[0-9a-f]{32}$", "", result.net)
            groups.setdefault((result.dataset, result.metric, family), []).append(result)
    rows: list[Row] = []
    for (dataset, metric, family), results in sorted(
        groups.items(), key=lambda item: (*item[0][:2], -_best(item[1]).accuracy)
    ):
        best = _best(results)
        rows.append(
            {
                "dataset": dataset,
                "metric": metric,
                "family": family,
                "nets": len({result.net for result in results}),
                "first": max((result.accuracy for result in results if result.epoch == 1), default=None),
                "best": best.accuracy,
                "epoch": best.epoch,
                "net": best.net,
            }
        )
    note = "Everything that LEMUR's store holds for this data and metric, from whatever trial; budgets differ."
    return Table("lemur", "LEMUR's stored statistics", columns, rows, note)


def _best(results: list[Stored]) -> Stored:
    return max(results, key=lambda result: result.accuracy)
