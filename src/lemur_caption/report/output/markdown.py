"""The report as Markdown: GitHub's tables, everything in them escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from ..source import Source
from ..table import Column, Row, Table, shortened, text
from .command import command

MOST_ROWS = 50
_LONGEST_CELL = 160
# What would be markup inside a table's cell; an address would become a link by itself.
_SPECIAL = re.compile(r"([\\`*_\[\]#|~$@]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_PLAIN = re.compile(r"[-+]?[\d.,]+(?: %)?")


def markdown(source: Source, tables: Sequence[Table], made: str) -> str:
    """The tables one after another; of a whole report each is cut after MOST_ROWS rows and says how to print all."""
    parts = ["# Report of lemur-caption", f"Made {made} from {_runs(source)}."]
    for table in tables:
        shown = table.rows if len(tables) == 1 else table.rows[:MOST_ROWS]
        title, columns = table.readable()
        parts.append(f"## {escaped(title)}")
        parts.append(f"`{command(source, table.name)}`")
        if not shown:
            parts.append("None.")
            continue
        parts.append(grid(columns, shown))
        if len(shown) < len(table.rows):
            parts.append(f"{len(table.rows) - len(shown)} more rows: the command above prints all.")
        if table.note:
            parts.append(escaped(table.note, code=True))
    return "\n\n".join(parts) + "\n"


def grid(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """A table's heading and rows."""
    lines = [_line(escaped(column.label) for column in columns)]
    lines.append(_line("---:" if column.numeric else "---" for column in columns))
    for row in rows:
        lines.append(_line(escaped(shortened(text(row[c.key], c.kind), _LONGEST_CELL)) for c in columns))
    return "\n".join(lines)


def _runs(source: Source) -> str:
    numbers = [str(run.run.id) for run in source.runs]
    return f"run{'s' if len(numbers) != 1 else ''} {', '.join(numbers)}" if numbers else "no run"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(value: str, *, code: bool = False) -> str:
    """Text that Markdown and HTML take for text; with `code`, our own words whose backquotes stay."""
    line = " ".join(value.split())
    if code or _PLAIN.fullmatch(line):
        return html.escape(line, quote=False)
    return html.escape(_SPECIAL.sub(r"\\\1", line), quote=False)
