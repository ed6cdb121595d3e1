"""Mending brackets that a response dropped, doubled or mistook for others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from lemur_caption.source.fixups.openers import Edit, Names, open_somewhere
from lemur_caption.source.fixups.scan import (
    CLOSERS,
    LONGEST_STATEMENT,
    OPENERS,
    Line,
    Statement,
    Token,
    parse,
    parses_alone,
    parses_as,
    statements,
)

# More faults than this are no slip of the pen, and each costs a reading of the file.
_MOST_FAULTS = 20
# Edits of one statement that are tried before it is given up.
_MOST_EDITS = 300
# Calls that take one argument: a comma tells that their closer is missing.
# fmt: off
_ONE_ARGUMENT = frozenset({
    "bool", "float", "gelu", "int", "iter", "len", "list", "long", "next", "relu", "set", "sigmoid", "size",
    "squeeze", "tanh", "tuple", "unsqueeze",
})
# fmt: on


def balance_brackets(code: str) -> str:
    """Put back brackets that are missing, and take out or change those that match nothing.

    Why: one dropped bracket makes a whole Net unreadable, and it is the slip that small models make most. How: strings
    and comments are known, so only real brackets count. A closer goes where indentation and the next statement show
    that it belonged: at the end of its own line in a list of layers, else at the end of the statement, and at the
    end of the file where nothing follows. An opener goes between two names that cannot stand side by side. An edit
    counts only if its statement parses with it.
    """
    if parse(code) is not None:
        return code
    hopeless: set[str] = set()
    for _ in range(_MOST_FAULTS):
        mended = _mend_first(code, hopeless)
        if mended is None:
            break
        code = mended
    return code


def _mend_first(code: str, hopeless: set[str]) -> str | None:
    """The code with its first faulty statement mended, or None. Statements in `hopeless` are passed over."""
    found = statements(code)
    names: Names | None = None
    for index, statement in enumerate(found):
        fault = _Fault(statement)
        if not 0 < fault.size <= _MOST_FAULTS or parses_alone(code, statement):
            continue
        region = _with_lines_before(found, index) if fault.excess else statement
        if len(region.lines) > LONGEST_STATEMENT:
            continue
        text = code[region.start : region.end]
        if text in hopeless:
            continue
        names = names or Names(found)
        for edits in islice(_proposals(region, names), _MOST_EDITS):
            mended = _edited(code, edits)
            grown = len(mended) - len(code)
            if parses_as(mended[region.start : region.end + grown], region):
                return mended
        hopeless.add(text)
        if len(hopeless) > _MOST_FAULTS:
            break
    return None


def _edited(code: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, reverse=True):
        code = code[: edit.start] + edit.text + code[edit.end :]
    return code


def _with_lines_before(found: list[Statement], index: int) -> Statement:
    """A statement with a closer too many, together with the lines before it that its opener may have been lost from."""
    last = found[index]
    first = index
    if last.lines[0].first.kind == "close":
        first = next((i for i in range(index - 1, -1, -1) if found[i].indent <= last.indent), index)
    elif index and last.indent > found[index - 1].indent and not found[index - 1].opens_block:
        first = index - 1
    return Statement([line for statement in found[first : index + 1] for line in statement.lines])


class _Fault:
    """What is wrong with a statement's brackets.

    `unclosed` are openers without a closer, each with the token before which it had to be closed (None: the statement's
    end); `excess` are closers that match nothing. A closer that does not match the innermost opener either ends what is
    open inside its own pair, where closers are trusted, or lost its opener.
    """

    def __init__(self, statement: Statement, trusts_closers: bool = True) -> None:
        self._trusts_closers = trusts_closers
        self.unclosed: list[tuple[Token, Token | None]] = []
        self.excess: list[Token] = []
        self.line_of: dict[int, Line] = {}
        stack: list[Token] = []
        for line in statement.lines:
            for token in line.tokens:
                if token.kind == "open":
                    self.line_of[token.start] = line
                    stack.append(token)
                elif token.kind == "close":
                    self._close(token, line, stack)
        self.unclosed += [(token, None) for token in stack]
        self.size = len(self.unclosed) + len(self.excess)

    def _close(self, closer: Token, line: Line, stack: list[Token]) -> None:
        opener = CLOSERS[closer.text]
        depth = next((d for d in range(len(stack) - 1, -1, -1) if stack[d].text == opener), None)
        if depth is None or (depth < len(stack) - 1 and not self._trusts_closers):
            self.excess.append(closer)
            return
        if line.first is closer:
            # A closer that leads its line belongs to the line with its indentation, if one hangs open there.
            for d in range(depth, -1, -1):
                at = self.line_of[stack[d].start]
                if stack[d].text == opener and at.indent == line.indent and at.last is stack[d]:
                    depth = d
                    break
        self.unclosed += [(token, closer) for token in stack[depth + 1 :]]
        del stack[depth:]


def _proposals(region: Statement, names: Names) -> Iterator[list[Edit]]:
    """Edits that would balance the region, the likeliest first. Each may still fail to parse."""
    readings = [_Fault(region), _Fault(region, trusts_closers=False)]
    for fault in sorted(readings, key=lambda reading: reading.size):
        yield from _balancing(region, fault, names)


def _balancing(region: Statement, fault: _Fault, names: Names) -> Iterator[list[Edit]]:
    tokens = region.tokens
    if fault.unclosed and not fault.excess:
        if len(fault.unclosed) == 1:
            yield from _close_by_meaning(tokens, fault.unclosed[0][0].text)
        for comma in ("", ","):
            yield [_close_on_its_line(region, fault, opener, stop, comma) for opener, stop in fault.unclosed]
        closers = "".join(OPENERS[opener.text] for opener, _ in reversed(fault.unclosed))
        yield [Edit(_end(tokens), _end(tokens), closers)]
        yield [_insert_before(tokens, opener, stop, "") for opener, stop in fault.unclosed]
        if len(fault.unclosed) == 1:
            yield from _anywhere_after(tokens, *fault.unclosed[0])
    elif fault.excess and not fault.unclosed:
        if len(fault.excess) == 1:
            yield from open_somewhere(region, fault.excess[0], names)
        yield [Edit(closer.start, closer.end, "") for closer in fault.excess]
    elif len(fault.unclosed) == len(fault.excess) == 1:
        opener, closer = fault.unclosed[0][0], fault.excess[0]
        yield [Edit(closer.start, closer.end, OPENERS[opener.text])]
        yield [Edit(opener.start, opener.end, CLOSERS[closer.text])]
        # The opener's closer is lost, and so is the closer's opener.
        for close in islice(_anywhere_after(tokens, opener, None), 20):
            for opening in islice(open_somewhere(region, closer, names), 20):
                yield [*close, *opening]


def _end(tokens: list[Token]) -> int:
    """Where a closer ends a statement: before a header's colon, else after the last token."""
    if tokens[-1].text == ":" and len(tokens) > 1:
        return tokens[-2].end
    return tokens[-1].end


def _insert_before(tokens: list[Token], opener: Token, stop: Token | None, comma: str) -> Edit:
    closer = OPENERS[opener.text] + comma
    if stop is None:
        return Edit(_end(tokens), _end(tokens), closer)
    before = tokens[tokens.index(stop) - 1]
    return Edit(before.end, before.end, closer)


def _close_by_meaning(tokens: list[Token], unclosed: str) -> Iterator[list[Edit]]:
    """The closer where what stands in a bracket is known to end: `prm['lr'`, `int(x`, `x.size(0`."""
    for at in range(len(tokens) - 3, 0, -1):
        if tokens[at].text != unclosed:
            continue
        if unclosed == "[" and tokens[at + 1].kind == "string" and tokens[at + 2].text == ",":
            yield [Edit(tokens[at + 1].end, tokens[at + 1].end, "]")]
        elif unclosed == "(" and tokens[at - 1].text in _ONE_ARGUMENT:
            depth = 0
            for left, token in zip(tokens[at:], tokens[at + 1 :], strict=False):
                depth += (left.kind == "open") - (left.kind == "close")
                if depth <= 0:
                    break
                if depth == 1 and token.text == ",":
                    yield [Edit(left.end, left.end, ")")]
                    break


def _close_on_its_line(region: Statement, fault: _Fault, opener: Token, stop: Token | None, comma: str) -> Edit:
    """The closer at the end of the lines that are indented under the opener's line."""
    lines = region.lines
    line = fault.line_of[opener.start]
    number = next(i for i, each in enumerate(lines) if each is line)
    if stop is not None and stop in line.tokens:
        return _insert_before(region.tokens, opener, stop, "")
    for i in range(number + 1, len(lines)):
        if lines[i].indent <= line.indent:
            last = lines[i - 1].last
            if last.text == "," and i - 1 == number and opener is not last:
                return Edit(last.start, last.start, OPENERS[opener.text])
            return Edit(last.end, last.end, OPENERS[opener.text] + (comma if lines[i].first.kind != "close" else ""))
    return _insert_before(region.tokens, opener, stop, "")


def _anywhere_after(tokens: list[Token], opener: Token, stop: Token | None) -> Iterator[list[Edit]]:
    closer = OPENERS[opener.text]
    last = tokens.index(stop) if stop is not None else len(tokens)
    for token in reversed(tokens[tokens.index(opener) : last]):
        yield [Edit(token.end, token.end, closer)]
