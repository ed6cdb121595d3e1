"""Lines and blocks: tabs, indentation, empty bodies, and where a truncated answer really ends."""

from __future__ import annotations

from lemur_caption.source.fixups.brackets import balance_brackets
from lemur_caption.source.fixups.headers import has_colon
from lemur_caption.source.fixups.scan import HEADERS, Line, Statement, parse, parses_alone, scan, statements

STEP = 4


def expand_tabs(code: str) -> str:
    """Spaces instead of tabs in indentation, four for each.

    Why: Python refuses a block that is indented by tabs here and spaces there, and models mix them where a snippet had
    tabs. Where four columns a tab do not parse and eight do, the tabs stood for eight.
    """
    if "\t" not in code:
        return code
    variants = [_tabs_to_spaces(code, width) for width in (STEP, 2 * STEP)]
    return next((variant for variant in variants if parse(variant) is not None), variants[0])


def _tabs_to_spaces(code: str, width: int) -> str:
    pieces = []
    at_start = True
    for token in scan(code):
        leads = at_start and token.kind == "space"
        pieces.append(token.text.expandtabs(width) if leads and "\n" not in token.text else token.text)
        at_start = token.kind == "newline"
    return "".join(pieces)


def cut_unfinished(code: str) -> str:
    """Cut a truncated answer back to its last complete statement.

    Why: an answer that hit its token limit ends within a statement, and with it the whole Net would be lost. Text that
    does not end with a newline was cut off there; text that does had its end, so a last statement that lacks nothing
    but brackets is left to `balance_brackets`. Headers that lose their whole body go too, and
    text that would be cut down to nothing stays.
    """
    if parse(code) is not None:
        return code
    found = statements(code)
    if not found:
        return code
    last = found[-1]
    truncated = not code.endswith("\n")
    if last.opens_block and not truncated:
        return code
    if not last.opens_block and last.keyword != "@" and parses_alone(code, last):
        return code
    if not truncated and _mended_alone(code, last):
        return code
    while found and (found[-1] is last or found[-1].opens_block or found[-1].keyword == "@"):
        last_cut = found.pop()
        if found and found[-1].indent >= last_cut.indent and not found[-1].opens_block:
            break
    return code[: found[-1].end].rstrip() + "\n" if found else code


def _mended_alone(code: str, statement: Statement) -> bool:
    alone = code[statement.start : statement.end]
    mended = balance_brackets(alone + "\n")
    return mended != alone + "\n"


def align_blocks(code: str) -> str:
    """Give every statement an indentation that its neighbours allow.

    Why: a line that is indented by a column too many, or that matches no enclosing block, is an error in Python though
    its place is plain. A statement that is deeper than its block without a header before it joins the block; one between
    two levels joins the nearer, or the block that goes on after it.
    """
    if parse(code) is not None:
        return code
    found = statements(code)
    moves: list[tuple[Statement, int]] = []
    levels = [(0, 0)]  # (columns as written, columns as they should be), outermost first
    previous: Statement | None = None
    for number, statement in enumerate(found):
        raw = statement.indent
        following = found[number + 1] if number + 1 < len(found) else None
        if previous is not None and _opens(previous) and raw > levels[-1][0]:
            levels.append((raw, max(levels[-1][1] + 1, raw)))
        elif raw < levels[-1][0]:
            _leave_blocks(levels, statement, following)
        moves.append((statement, levels[-1][1] - raw))
        previous = statement
        # A header that stood too deep: its body is measured from where it stands.
        if statement.opens_block and raw > levels[-1][0]:
            levels.append((raw, levels[-1][1]))
    return _moved(code, moves)


def _opens(statement: Statement) -> bool:
    """Whether a block is to follow, and be it under a class or function that is beyond mending."""
    return statement.opens_block or (statement.keyword in ("class", "def") and not has_colon(statement))


def _leave_blocks(levels: list[tuple[int, int]], statement: Statement, following: Statement | None) -> None:
    raw = statement.indent
    # Nothing that Python reads goes deeper after a plain statement: this one alone slipped out of its block.
    goes_on = following is not None and following.indent == levels[-1][0] and statement.keyword not in HEADERS
    if goes_on:
        return
    while len(levels) > 1 and raw < levels[-1][0]:
        inner, outer = levels[-1][0], levels[-2][0]
        if outer < raw and inner - raw <= raw - outer:
            return
        levels.pop()


def _moved(code: str, moves: list[tuple[Statement, int]]) -> str:
    for statement, shift in reversed(moves):
        if shift:
            for line in reversed(statement.lines):
                code = _shifted(code, line, shift)
    return code


def _shifted(code: str, line: Line, shift: int) -> str:
    return code[: line.start] + " " * max(line.indent + shift, 0) + code[line.first.start :]


def fill_empty_bodies(code: str) -> str:
    """Put `pass` under a header that nothing is indented under.

    Why: models write a class or method whose body is a comment, or nothing at all.
    """
    if parse(code) is not None:
        return code
    found = statements(code)
    for number in range(len(found) - 1, -1, -1):
        header = found[number]
        following = found[number + 1] if number + 1 < len(found) else None
        if header.opens_block and (following is None or following.indent <= header.indent):
            code = code[: header.end] + "\n" + " " * (header.indent + STEP) + "pass" + code[header.end :]
    return code
