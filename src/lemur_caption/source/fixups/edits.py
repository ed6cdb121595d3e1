"""Replacing parts of a source that its syntax tree points at."""

from __future__ import annotations

import ast
from collections.abc import Iterable


class Text:
    """A source with its lines, so that positions of `ast`, which count UTF-8 bytes, become offsets of characters."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._lines = code.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def offset(self, line: int, column: int) -> int:
        text = self._lines[line - 1]
        if not text.isascii():
            column = len(text.encode()[:column].decode(errors="ignore"))
        return self._starts[line - 1] + column

    def line_start(self, line: int) -> int:
        """Offset of the first character of a line; one past the last line is the end."""
        return min(self._starts[line - 1], len(self.code))

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self.offset(node.lineno, node.col_offset), self.offset(end_line, end_column)

    def replaced(self, edits: Iterable[tuple[int, int, str]]) -> str:
        """The code with each (start, end, text) put in; the spans do not overlap."""
        code = self.code
        for start, end, text in sorted(edits, reverse=True):
            code = code[:start] + text + code[end:]
        return code


def after_prologue(tree: ast.Module) -> int:
    """The line, from 1, before which an import may be added: after the docstring and `from __future__`."""
    line = 1
    for number, node in enumerate(tree.body):
        docstring = number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not (docstring or (isinstance(node, ast.ImportFrom) and node.module == "__future__")):
            break
        line = (node.end_lineno or node.lineno) + 1
    return line


def after_imports(tree: ast.Module) -> int:
    """The line, from 1, before which a definition may be added: after the imports at the file's top."""
    line = after_prologue(tree)
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            line = max(line, (node.end_lineno or node.lineno) + 1)
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            break
    return line
