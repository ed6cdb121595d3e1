"""Headers of compound statements: a colon that is missing, a `try` that nothing follows."""

from __future__ import annotations

from itertools import pairwise

from lemur_caption.source.fixups.brackets import balance_brackets
from lemur_caption.source.fixups.edits import Text
from lemur_caption.source.fixups.scan import HEADERS, Statement, parse, parses_as, statements

STEP = 4
_ALWAYS_HEADERS = ("class", "def")


def add_missing_colons(code: str) -> str:
    """A colon after a header that ends without one and has its block under it.

    Why: without it the header opens nothing, and the block below reads as an indentation that nothing explains. A class or
    function needs no block to be told; other headers do, since `for` and `if` also stand inside expressions. The header
    must be one with the colon, if need be after `balance_brackets`.
    """
    if parse(code) is not None:
        return code
    found: list[Statement | None] = [*statements(code), None]
    for header, following in reversed(list(pairwise(found))):
        if header is None or header.keyword not in HEADERS or has_colon(header):
            continue
        has_block = following is not None and following.indent > header.indent
        if (has_block or header.keyword in _ALWAYS_HEADERS) and _is_header(
            code[header.start : header.end] + ":", header
        ):
            code = code[: header.end] + ":" + code[header.end :]
    return code


def has_colon(header: Statement) -> bool:
    """Whether the header ends in a colon, or has one outside brackets that is no lambda's."""
    if header.tokens[-1].text == ":":
        return True
    depth = lambdas = 0
    for token in header.tokens:
        depth += (token.kind == "open") - (token.kind == "close")
        if depth <= 0:
            lambdas += (token.text == "lambda") - (token.text == ":")
            if lambdas < 0:
                return True
    return False


def _is_header(source: str, header: Statement) -> bool:
    if parses_as(source, header):
        return True
    # Behind an opening bracket alone nothing tells what the writer meant.
    return header.tokens[-1].kind != "open" and header.tokens[-1].text != "," and _balances(source, header)


def _balances(source: str, header: Statement) -> bool:
    margin = " " * header.indent
    return parse.__wrapped__(balance_brackets(f"{source.strip()} pass\n{margin}")) is not None


def finish_try(code: str) -> str:
    """`finally: pass` after a `try` block that neither `except` nor `finally` follows.

    Why: a truncated or hurried answer leaves the handler out, and Python reads nothing of the file. An empty `finally` catches
    nothing and hides nothing: errors go where they would have gone without the `try`. Only where the file parses with it.
    """
    if parse(code) is not None:
        return code
    found = statements(code)
    edits = []
    for number, header in enumerate(found):
        if header.keyword != "try" or not header.opens_block:
            continue
        end = number + 1
        while end < len(found) and found[end].indent > header.indent:
            end += 1
        handled = (
            end < len(found) and found[end].indent == header.indent and found[end].keyword in ("except", "finally")
        )
        if not handled and end > number + 1:
            margin = " " * header.indent
            at = found[end - 1].end
            edits.append((at, at, f"\n{margin}finally:\n{margin}{' ' * STEP}pass"))
    mended = Text(code).replaced(edits)
    return mended if parse(mended) is not None else code
