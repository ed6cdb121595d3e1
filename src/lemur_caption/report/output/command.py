"""The command that prints a table, so that every number can be traced."""

from __future__ import annotations

from ..source import Source


def command(source: Source, table: str) -> str:
    """`lemur-caption report 1 2 --table outcomes`."""
    return " ".join(["lemur-caption report", *(str(run.run.id) for run in source.runs), "--table", table])
