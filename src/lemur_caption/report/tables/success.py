"""Success rates by number of snippets, model and strategy, with 95 % Wilson intervals (the paper's Figure 2)."""

from __future__ import annotations

from ..source import Net, Source
from ..statistics import wilson
from ..table import Column, Row, Table

# What rates are compared by, and the three together.
_GROUPINGS = ("all", "snippets", "model", "strategy", "snippets, model, strategy")


def table(source: Source) -> Table:
    columns = (
        Column("by", "by"),
        Column("group", "group"),
        Column("ended", "ended", "count"),
        Column("succeeded", "trained", "count"),
        Column("rate", "success rate", "percent"),
        Column("low", "interval from", "percent"),
        Column("high", "interval to", "percent"),
        Column("improved", "improved", "count"),
    )
    ended = [net for net in source.candidates if net.ended]
    rows: list[Row] = []
    for grouping in _GROUPINGS:
        groups: dict[tuple[str, ...], list[Net]] = {}
        for net in ended:
            groups.setdefault(_group(net, grouping), []).append(net)
        ordered = sorted(groups.items(), key=lambda item: [(len(part), part) for part in item[0]])
        rows += [_row(grouping, ", ".join(group), nets) for group, nets in ordered]
    note = (
        "A success is a Net that trained (`trained` or `improved`), out of all candidates that have ended. Intervals are "
        "Wilson's score intervals at 95 %; candidates of one search learn from each other, which they do not allow for."
    )
    return Table("success", "Success rates", columns, rows, note)


def _group(net: Net, grouping: str) -> tuple[str, ...]:
    values = {"all": "all", "snippets": f"k = {'unknown' if net.snippets is None else net.snippets}"}
    values |= {"model": net.model or "unknown", "strategy": net.strategy or "unknown"}
    return tuple(values[part] for part in grouping.split(", "))


def _row(grouping: str, group: str, nets: list[Net]) -> Row:
    succeeded = sum(net.success for net in nets)
    low, high = wilson(succeeded, len(nets)) or (None, None)
    return {
        "by": grouping,
        "group": group,
        "ended": len(nets),
        "succeeded": succeeded,
        "rate": succeeded / len(nets),
        "low": low,
        "high": high,
        "improved": sum(net.outcome == "improved" for net in nets),
    }
