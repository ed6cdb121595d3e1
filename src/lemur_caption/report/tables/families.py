"""Families and how many Nets each has, by prefix and decoder (the paper's Table 1)."""

from __future__ import annotations

from ..source import Net, Source
from ..table import Column, Row, Table


def table(source: Source) -> Table:
    columns = (
        Column("family", "family"),
        Column("decoder", "decoder"),
        Column("asked", "candidates", "count"),
        Column("ended", "ended", "count"),
        Column("trained", "trained", "count"),
        Column("improved", "improved", "count"),
    )
    groups: dict[tuple[str, str], list[Net]] = {}
    for net in source.candidates:
        groups.setdefault((net.family, net.kinds.decoder or "none written"), []).append(net)
    rows: list[Row] = [
        {
            "family": family,
            "decoder": decoder,
            "asked": len(nets),
            "ended": sum(net.ended for net in nets),
            "trained": sum(net.success for net in nets),
            "improved": sum(net.outcome == "improved" for net in nets),
        }
        for (family, decoder), nets in sorted(groups.items())
    ]
    note = "C<k>C-<baseline>: asked with k snippets, starting from that baseline. Improved Nets are among the trained."
    return Table("families", "Families and counts", columns, rows, note)
