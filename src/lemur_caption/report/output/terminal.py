"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..source import Source
from ..table import Table, shortened, text
from .command import command

if TYPE_CHECKING:
    from rich.console import Console

# Of a whole report, each table's first rows; of one table all.
MOST_ROWS = 12
_LONGEST_CELL = 48


def show(console: Console, source: Source, tables: Sequence[Table]) -> None:
    """Print tables; those of a whole report are shortened and say how to print the rest."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    whole = len(tables) == 1
    for table in tables:
        if not table.rows:
            console.print(Text(f"{table.title}: none\n"))
            continue
        rows = table.rows if whole else table.rows[:MOST_ROWS]
        title, columns = table.readable()
        drawn = RichTable(title=Text(printable(title)), title_justify="left", box=box.SIMPLE_HEAD)
        for column in columns:
            drawn.add_column(Text(column.label), justify="right" if column.numeric else "left", overflow="fold")
        for row in rows:
            cells = (printable(text(row[column.key], column.kind)) for column in columns)
            drawn.add_row(*(Text(cell if whole else shortened(cell, _LONGEST_CELL)) for cell in cells))
        console.print(drawn)
        if len(rows) < len(table.rows):
            console.print(Text(f"{len(table.rows) - len(rows)} more rows: {command(source, table.name)}\n"))


def printable(value: str) -> str:
    """On one line, and without what a terminal would take for commands."""
    return "".join(character if character.isprintable() else "�" for character in " ".join(value.split()))
