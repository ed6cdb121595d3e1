"""A table as plain values, and how a value is written for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..candidate import short_name

Value = str | int | float | bool | None
Kind = Literal["text", "name", "count", "metric", "percent", "seconds", "factor"]
Row = dict[str, Value]


@dataclass(frozen=True)
class Column:
    """One column. `kind` says how its values are written: `percent` takes fractions, `name` LEMUR's names."""

    key: str
    label: str
    kind: Kind = "text"

    @property
    def numeric(self) -> bool:
        return self.kind not in ("text", "name")


@dataclass(frozen=True)
class Table:
    """A table of a report. `note` says how to read it; every row has a value, or None, for every column."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: list[Row] = field(default_factory=list)
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy, with full names and unrounded numbers."""
        columns = [{"key": column.key, "label": column.label, "kind": column.kind} for column in self.columns]
        return {"title": self.title, "note": self.note, "columns": columns, "rows": self.rows}

    def readable(self) -> tuple[str, list[Column]]:
        """The title and the columns for people: an empty column is left out, and the one budget of all rows goes to the title."""
        budgets = {row.get("budget") for row in self.rows}
        title = f"{self.title}: {budgets.pop()}" if len(budgets) == 1 and None not in budgets else self.title
        kept = [
            column
            for column in self.columns
            if any(row[column.key] not in (None, "") for row in self.rows)
            and not (column.key == "budget" and title != self.title)
        ]
        return title, kept


def text(value: Value, kind: Kind) -> str:
    """A value as people read it; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return short_name(value) if kind == "name" else value
    if kind == "percent":
        return f"{100 * value:.1f} %"
    if kind == "count":
        return f"{value:,.0f}"
    return f"{value:.4f}" if kind == "metric" else f"{value:.1f}" if kind == "seconds" else f"{value:.2f}"


def shortened(value: str, most: int) -> str:
    """At most `most` characters; what is cut is shown by an ellipsis."""
    return value if len(value) <= most else value[: most - 1] + "…"
