"""Telling English from Python, line by line, where no fence does."""

from __future__ import annotations

import ast
import re
import textwrap
from itertools import pairwise

from lemur_caption.source.fixups.scan import Statement, is_name, parse, statements

# What chat pages, mail and terminals put before each line.
_PREFIXES = (
    re.compile(r"^[ \t]*> ?", re.MULTILINE),
    re.compile(r"^(?:>>>|\.\.\.)(?: |$)", re.MULTILINE),
    re.compile(r"^[ \t]*\d{1,4}(?:[:|.]| \|)? ?(?=[ \t]*\S|$)", re.MULTILINE),
    re.compile(r"^\+(?!\+)", re.MULTILINE),
    re.compile(r"^[ \t]*\| ?", re.MULTILINE),
)
_MOST_LINES = 0.9


def unwrapped(text: str) -> str:
    """The text without a prefix that nearly all of its lines share: `> `, `>>> `, line numbers, `+`; and dedented."""
    for prefix in _PREFIXES:
        lines = [line for line in text.split("\n") if line.strip()]
        if lines and sum(prefix.match(line) is not None for line in lines) >= _MOST_LINES * len(lines):
            text = prefix.sub("", text)
            break
    return textwrap.dedent(text)


def without_prose(text: str) -> str:
    """The text without statements at its outermost level that are English, and without what is indented under them."""
    found = statements(text)
    indented_code = _indented_code(found)
    if indented_code:
        text = textwrap.dedent("".join(_lines(text, statement) for statement in found if statement.indent > 0))
        found = statements(text)
    kept: list[Statement] = []
    dropped: list[Statement] = []
    after_prose = False
    for statement in found:
        if statement.indent == 0:
            after_prose = is_prose(text, statement)
        (dropped if after_prose else kept).append(statement)
    if not kept:
        return ""
    if dropped and dropped[-1].start > kept[-1].start:
        text = text[: _span(text, kept[-1])[1]]  # headings after the code read as comments
        dropped = [statement for statement in dropped if statement.start < kept[-1].start]
    for statement in reversed(dropped):
        start, end = _span(text, statement)
        text = text[:start] + text[end:]
    return text.lstrip("\n")


def _indented_code(found: list[Statement]) -> bool:
    """Whether all classes are indented, as in a Markdown code block without fences."""
    classes = [statement for statement in found if statement.keyword == "class" and statement.opens_block]
    return bool(classes) and all(statement.indent >= 2 for statement in classes)


def _span(text: str, statement: Statement) -> tuple[int, int]:
    end = text.find("\n", statement.end)
    return statement.start, len(text) if end < 0 else end + 1


def _lines(text: str, statement: Statement) -> str:
    start, end = _span(text, statement)
    return text[start:end]


def is_prose(text: str, statement: Statement) -> bool:
    """Whether a statement of the outermost level is English, or does nothing, as `Done` and `Note: this` would."""
    source = text[statement.start : statement.end]
    tokens = statement.tokens
    if statement.keyword in ("return", "pass", "break", "continue", "yield"):
        return True
    tree = parse.__wrapped__(source + (" pass" if statement.opens_block else "") + "\n")
    if tree is not None:
        return all(_does_nothing(node) for node in tree.body)
    if statement.keyword in ("@", "elif", "else", "except", "finally", "try"):
        return len(tokens) > 2 and statement.keyword != "@" and not statement.opens_block
    words = sum(is_name(left) and (is_name(right) or right.kind == "open_string") for left, right in pairwise(tokens))
    if words >= 2:
        return True
    texts = {token.text for token in tokens}
    return not (
        "=" in texts or "import" in texts or statement.keyword in ("class", "def", "async") or _is_string(statement)
    )


def _is_string(statement: Statement) -> bool:
    return statement.lines[0].first.kind in ("string", "open_string")


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    return isinstance(node, ast.Expr) and not (
        isinstance(node.value, (ast.Call, ast.Await))
        or (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str))
    )
