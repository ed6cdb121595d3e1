"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...candidate import printable
from ..source import Source
from ..table import Column, Row, Table, shortened, text
from .command import command

if TYPE_CHECKING:
    from rich.console import Console

# Of a whole report, each table's first rows; of one table all.
MOST_ROWS = 12
# Longer cells are shortened in a whole report, and broken into lines in one table.
_LONGEST_CELL = 48
# A column of longer text gives way, down to so many characters.
_LEAST = 24
# What rich's box and padding add to a column.
_EDGE = 3


def show(console: Console, source: Source, tables: Sequence[Table]) -> None:
    """Print tables; those of a whole report are shortened and say how to print the rest.

    A table too wide for the console is printed in parts one below another, each with the first column.
    """
    from rich.text import Text

    whole = len(tables) == 1
    for table in tables:
        if not table.rows:
            console.print(Text(f"{table.title}: none\n"))
            continue
        rows = table.rows if whole else table.rows[:MOST_ROWS]
        title, columns = table.readable()
        for number, part in enumerate(_parts(columns, rows, console.width)):
            _draw(console, title if number == 0 else f"{title}, continued", part, rows, whole)
        if len(rows) < len(table.rows):
            console.print(Text(f"{len(table.rows) - len(rows)} more rows: {command(source, table.name)}\n"))


def _parts(columns: Sequence[Column], rows: Sequence[Row], room: int) -> list[list[Column]]:
    """Columns that fit beside each other, the first of them in every part."""
    first, *others = columns
    start = _least(first, rows) + _EDGE + 1
    parts, used = [[first]], start
    for column in others:
        width = _least(column, rows) + _EDGE
        if used + width > room and len(parts[-1]) > 1:
            parts.append([first])
            used = start
        parts[-1].append(column)
        used += width
    return parts


def _width(column: Column, rows: Sequence[Row]) -> int:
    """As wide as the longest cell or the longest word of the heading."""
    cells = (len(printable(text(row[column.key], column.kind))) for row in rows)
    return max(*map(len, column.label.split()), min(_LONGEST_CELL, max(cells)))


def _least(column: Column, rows: Sequence[Row]) -> int:
    width = _width(column, rows)
    return _LEAST if width == _LONGEST_CELL else width


def _draw(console: Console, title: str, columns: Sequence[Column], rows: Sequence[Row], whole: bool) -> None:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=Text(printable(title)), title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        least = _least(column, rows)
        drawn.add_column(
            Text(column.label),
            justify="right" if column.numeric else "left",
            overflow="fold",
            min_width=least,
            # Only longer text gives way, and takes what room there is.
            width=least if least == _width(column, rows) else None,
        )
    for row in rows:
        cells = (printable(text(row[column.key], column.kind)) for column in columns)
        drawn.add_row(*(Text(cell if whole else shortened(cell, _LONGEST_CELL)) for cell in cells))
    console.print(drawn)
