"""The best Net of each family against the baselines at the same budget, and at their best (the paper's Table 2)."""

from __future__ import annotations

from ..source import Net, Source
from ..table import Column, Row, Table


def table(source: Source) -> Table:
    columns = (
        Column("budget", "data and budget"),
        Column("family", "family"),
        Column("trained", "trained whole", "count"),
        Column("net", "best Net", "name"),
        Column("id", "candidate"),
        Column("last", "after the last epoch", "metric"),
        Column("peak", "best epoch", "metric"),
        Column("difference", "against the best baseline", "metric"),
        Column("peak_difference", "best epochs compared", "metric"),
        Column("lemur", "LEMUR's best", "metric"),
        Column("lemur_epoch", "LEMUR's best at epoch", "count"),
    )
    rows: list[Row] = []
    for budget, nets in source.by_budget():
        whole = [net for net in nets if net.whole]
        baselines = [net for net in whole if net.is_baseline]
        groups: dict[str, list[Net]] = {}
        for net in whole:
            # A baseline is a family of its own.
            groups.setdefault(net.entry.candidate.name if net.is_baseline else net.family, []).append(net)
        ours = [_row(source, budget, family, group, baselines) for family, group in groups.items()]
        rows += sorted(ours, key=lambda row: -float(row["last"] or 0))
    note = (
        "`trained whole`: Nets with all epochs of the budget, the only ones compared. `LEMUR's best`: the highest accuracy "
        "in LEMUR's store of any of the family's Nets here, on the same data and metric, whatever its budget."
    )
    return Table("best", "Best Nets against the baselines", columns, rows, note)


def _row(source: Source, budget: str, family: str, group: list[Net], baselines: list[Net]) -> Row:
    best = max(group, key=_last)
    peak = max(map(_peak, group))
    names = {net.entry.candidate.name for net in group}
    data = (best.recorded.setting("dataset"), best.recorded.metric)
    stored = [found for found in source.stored if found.net in names and (found.dataset, found.decisive) == data]
    top = max(stored, key=lambda result: result.accuracy, default=None)
    compared = bool(baselines) and not best.is_baseline
    return {
        "budget": budget,
        "family": family,
        "trained": len(group),
        "net": best.entry.candidate.name,
        "id": best.id,
        "last": _last(best),
        "peak": peak,
        "difference": _last(best) - max(map(_last, baselines)) if compared else None,
        "peak_difference": peak - max(map(_peak, baselines)) if compared else None,
        "lemur": top.accuracy if top else None,
        "lemur_epoch": top.epoch if top else None,
    }


def _last(net: Net) -> float:
    return net.epochs[-1].accuracy


def _peak(net: Net) -> float:
    return max(epoch.accuracy for epoch in net.epochs)
