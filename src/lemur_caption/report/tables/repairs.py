"""Repair rounds by strategy: how often the language model mended what the contract found."""

from __future__ import annotations

from ..source import Net, Source
from ..statistics import wilson
from ..table import Column, Row, Table


def table(source: Source) -> Table:
    columns = (
        Column("strategy", "strategy"),
        Column("model", "model"),
        Column("round", "round", "count"),
        Column("asked", "sent back", "count"),
        Column("code", "came back with code", "count"),
        Column("sound", "sound then", "count"),
        Column("rate", "share", "percent"),
        Column("low", "interval from", "percent"),
        Column("high", "interval to", "percent"),
        Column("example", "the first that worked"),
    )
    rounds: dict[tuple[str, str, int], list[Net]] = {}
    for net in source.candidates:
        for number, repair in enumerate(net.entry.candidate.repairs, 1):
            if not repair.note.startswith("not asked"):
                rounds.setdefault((net.strategy, net.model, number), []).append(net)
    rows = [_row(*key, nets) for key, nets in sorted(rounds.items())]
    note = "Sound: the last round's code breaks no rule of the contract. Intervals are Wilson's at 95 %."
    return Table("repairs", "Repairs that worked", columns, rows, note)


def _row(strategy: str, model: str, number: int, nets: list[Net]) -> Row:
    sound = [net for net in nets if len(net.entry.candidate.repairs) == number and _is_sound(net)]
    low, high = wilson(len(sound), len(nets)) or (None, None)
    return {
        "strategy": strategy,
        "model": model,
        "round": number,
        "asked": len(nets),
        "code": sum(bool(net.entry.candidate.repairs[number - 1].source) for net in nets),
        "sound": len(sound),
        "rate": len(sound) / len(nets),
        "low": low,
        "high": high,
        "example": sound[0].id if sound else None,
    }


def _is_sound(net: Net) -> bool:
    candidate = net.entry.candidate
    errors = any(finding.get("severity", "error") == "error" for finding in candidate.findings)
    # A repair may give the code of a Net that exists already, and is then no repair.
    return bool(candidate.repairs[-1].source) and not errors and net.outcome != "duplicate"
