"""How candidates ended, by strategy and number of snippets: what the success rates leave out."""

from __future__ import annotations

from ...candidate import Outcome
from ..source import Net, Source
from ..table import Column, Row, Table

_ORDER = ["improved", "trained", *(outcome.value for outcome in Outcome if not outcome.success), "open"]


def table(source: Source) -> Table:
    columns = (
        Column("strategy", "strategy"),
        Column("model", "model"),
        Column("snippets", "snippets", "count"),
        Column("outcome", "outcome"),
        Column("count", "candidates", "count"),
        Column("total", "of", "count"),
        Column("share", "share", "percent"),
        Column("example", "the first of them"),
        Column("detail", "what it says"),
    )
    groups: dict[tuple[str, str, int | None], dict[str, list[Net]]] = {}
    for net in source.candidates:
        groups.setdefault((net.strategy, net.model, net.snippets), {}).setdefault(net.outcome, []).append(net)
    rows: list[Row] = []
    for strategy, model, snippets in sorted(groups, key=lambda group: (group[0], group[1], group[2] or 0)):
        found = groups[strategy, model, snippets]
        total = sum(map(len, found.values()))
        for outcome in sorted(found, key=_ORDER.index):
            rows.append(
                {
                    "strategy": strategy,
                    "model": model,
                    "snippets": snippets,
                    "outcome": outcome,
                    "count": len(found[outcome]),
                    "total": total,
                    "share": len(found[outcome]) / total,
                    "example": found[outcome][0].id,
                    "detail": found[outcome][0].entry.candidate.detail,
                }
            )
    note = "`open` candidates had not ended when the report was made. `lemur-caption show RUN/INDEX` tells one's story."
    return Table("outcomes", "Outcomes", columns, rows, note)
