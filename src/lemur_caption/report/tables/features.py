"""Which parts of a Net go with higher scores."""

from __future__ import annotations

from ...kinds import PARTS
from ..source import Net, Source
from ..statistics import mean, superiority
from ..table import Column, Row, Table

# More would be a table of single Nets.
_MOST_VALUES = 16


def table(source: Source) -> Table:
    columns = (
        Column("budget", "data and budget"),
        Column("part", "part"),
        Column("value", "value"),
        Column("nets", "Nets", "count"),
        Column("mean", "mean", "metric"),
        Column("best", "best", "metric"),
        Column("others", "mean of the others", "metric"),
        Column("difference", "difference", "metric"),
        Column("superiority", "beats the others", "percent"),
    )
    rows: list[Row] = []
    for budget, nets in source.by_budget():
        generated = [net for net in nets if net.whole and not net.is_baseline]
        for part in (*PARTS, "parameters", "flops"):
            rows += _rows(budget, part, generated)
    note = (
        "Nets with all epochs of the budget, baselines left out. `beats the others`: how often one of these Nets scores "
        "above one without the value (Vargha and Delaney's A; 50 % is no difference). Parts were not varied one at a time, so "
        "what goes with a high score need not cause it, and of few Nets nothing follows."
    )
    return Table("features", "Parts that go with higher scores", columns, rows, note)


def _rows(budget: str, part: str, nets: list[Net]) -> list[Row]:
    groups: dict[str, list[float]] = {}
    for net in nets:
        value = _value(net, part)
        if value is not None:
            groups.setdefault(str(value), []).append(net.epochs[-1].accuracy)
    if not 1 < len(groups) <= _MOST_VALUES:
        return []
    rows: list[Row] = []
    for value, scores in sorted(groups.items(), key=lambda item: (len(item[0]), item[0])):
        others = [score for other, found in groups.items() if other != value for score in found]
        average, rest = sum(scores) / len(scores), mean(others)
        rows.append(
            {
                "budget": budget,
                "part": "FLOPs" if part == "flops" else part.replace("_", " "),
                "value": value,
                "nets": len(scores),
                "mean": average,
                "best": max(scores),
                "others": rest,
                "difference": None if rest is None else average - rest,
                "superiority": superiority(scores, others),
            }
        )
    return rows


def _value(net: Net, part: str) -> str | int | None:
    if part in ("parameters", "flops"):
        return _range(getattr(net.entry.candidate, part))
    value: str | int | None = getattr(net.kinds, part)
    return value if not isinstance(value, bool) else "yes" if value else "no"


def _range(count: int | None) -> str | None:
    """A count as a range that doubles: `512 Ki to 1 Mi`, in units of 1,024."""
    if not count:
        return None
    low = 1 << (count.bit_length() - 1)
    return f"{_brief(low)} to {_brief(2 * low)}"


def _brief(count: int) -> str:
    for unit, name in ((1 << 30, " Gi"), (1 << 20, " Mi"), (1 << 10, " Ki")):
        if count >= unit:
            return f"{count // unit}{name}"
    return str(count)
