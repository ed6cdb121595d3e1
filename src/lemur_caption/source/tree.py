"""Reading text as Python."""

from __future__ import annotations

import ast


def parse(source: str) -> ast.Module | None:
    """The syntax tree; None for text that is not Python."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
