"""Reading Python that does not parse: tokens, lines and the statements that the writer meant.

`tokenize` stops at the first open string or bracket. What reads broken code has to go on, so this scanner takes any
text: it knows strings and comments, and it tells where a statement must have ended from what Python can never hold
inside brackets.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<string>[rbfuRBFU]{0,2}(?:'''|\"\"\"|'|\"))
    |(?P<newline>\n)
    |(?P<space>(?:[^\S\n]|\\[^\S\n]*\n)+)
    |(?P<name>[^\W\d]\w*)
    |(?P<number>0[xXoObB]\w+|\d[\d_]*(?:\.(?![^\W\d])[\d_]*)?(?:[eE][-+]?\d+)?[jJ]?)
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<op>->|\*\*=?|//=?|<<=?|>>=?|[-+*/%@&|^:=!<>]=|\.\.\.|.)""",
    re.VERBOSE,
)
_TRIPLE = {quote: re.compile(r"(?:\\.|[^\\])*?" + quote, re.DOTALL) for quote in ("'''", '"""')}
_SINGLE = {quote: re.compile(rf"(?:\\.|[^\\\n{quote}])*", re.DOTALL) for quote in ("'", '"')}

# fmt: off
HEADERS = frozenset({
    "class", "def", "if", "elif", "else", "for", "while", "with", "try", "except", "finally", "async",
})
# fmt: on
# No line that continues an open bracket begins with one of these.
# fmt: off
_NEVER_INSIDE = frozenset({
    "class", "def", "return", "import", "raise", "pass", "break", "continue", "assert", "del", "while", "try",
    "with", "global", "nonlocal", "elif", "except", "finally",
})
# fmt: on
# Lines; no statement of a Net comes near it, and what an open bracket swallows goes beyond.
LONGEST_STATEMENT = 80
# fmt: off
_AUGMENTED = frozenset({
    "+=", "-=", "*=", "/=", "//=", "%=", "@=", "&=", "|=", "^=", ">>=", "<<=", "**=",
})
# fmt: on
_PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)


class Token(NamedTuple):
    """A token, with its half-open span of characters. `kind` is the group of `_TOKEN`, or `open_string`."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Line:
    """A line with code on it. A string that spans lines, and a backslash at a line's end, keep lines together."""

    indent: int
    start: int
    tokens: tuple[Token, ...]  # no comments and no space

    @property
    def first(self) -> Token:
        return self.tokens[0]

    @property
    def last(self) -> Token:
        return self.tokens[-1]


@dataclass
class Statement:
    """A simple statement or the header of a compound one, with the lines that it was given."""

    lines: list[Line] = field(default_factory=list)

    @property
    def indent(self) -> int:
        return self.lines[0].indent

    @property
    def start(self) -> int:
        """Offset of its first line, indentation included."""
        return self.lines[0].start

    @property
    def end(self) -> int:
        """Offset after its last token."""
        return self.lines[-1].last.end

    @property
    def tokens(self) -> list[Token]:
        return [token for line in self.lines for token in line.tokens]

    @property
    def keyword(self) -> str:
        return self.lines[0].first.text

    @property
    def opens_block(self) -> bool:
        """Whether it is a header whose body has to follow on the next lines."""
        return self.keyword in HEADERS and self.lines[-1].last.text == ":"


@lru_cache(maxsize=64)
def parse(code: str) -> ast.Module | None:
    """The syntax tree, or None where there is none. The tree is shared: do not change it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a Net's string is not our caller's business
        try:
            return ast.parse(code)
        except _PARSE_ERRORS:
            return None


def scan(text: str) -> list[Token]:
    """Every token of any text, space included, so that the tokens' texts joined are the text."""
    tokens: list[Token] = []
    position = 0
    while match := _TOKEN.match(text, position):
        kind, end = str(match.lastgroup), match.end()
        if kind == "string":
            kind, end = _string(text, match.group(), end)
        tokens.append(Token(kind, text[position:end], position, end))
        position = end
    return tokens


def _string(text: str, opening: str, position: int) -> tuple[str, int]:
    quote = opening[-3:] if opening[-3:] in _TRIPLE else opening[-1]
    if quote in _TRIPLE:
        match = _TRIPLE[quote].match(text, position)
        return ("string", match.end()) if match else ("open_string", len(text))
    body = _SINGLE[quote].match(text, position)
    end = body.end() if body else position
    return ("string", end + 1) if text[end : end + 1] == quote else ("open_string", end)


def lines_of(text: str) -> list[Line]:
    """The lines that hold more than space and comments. A tab counts as four columns."""
    lines: list[Line] = []
    tokens: list[Token] = []
    indent, start, at_start = 0, 0, True
    for token in [*scan(text), Token("newline", "\n", len(text), len(text))]:
        if token.kind == "newline":
            if tokens:
                lines.append(Line(indent, start, tuple(tokens)))
            tokens, indent, start, at_start = [], 0, token.end, True
        elif token.kind == "space":
            if at_start:
                indent = len(token.text.expandtabs(4))
        elif token.kind != "comment":
            tokens.append(token)
        at_start = at_start and token.kind == "newline"
    return lines


def statements(text: str) -> list[Statement]:
    """The text's statements as the writer meant them: a bracket that never closes does not swallow what follows.

    Where the plain reading of the brackets gives a statement that parses, that is taken.
    """
    found: list[Statement] = []
    lines = lines_of(text)
    index = 0
    while index < len(lines):
        size = _natural_length(lines, index)
        natural = Statement(lines[index : index + size])
        if size > 1 and not (size <= LONGEST_STATEMENT and parses_alone(text, natural)):
            size = _meant_length(lines, index)
            natural = Statement(lines[index : index + size])
        found.append(natural)
        index += size
    return found


def _natural_length(lines: list[Line], index: int) -> int:
    depth = 0
    for size, line in enumerate(lines[index : index + LONGEST_STATEMENT + 1], 1):
        for token in line.tokens:
            depth += (token.kind == "open") - (token.kind == "close")
        if depth <= 0:
            return size
    return min(len(lines) - index, LONGEST_STATEMENT + 1)


def _meant_length(lines: list[Line], index: int) -> int:
    base = lines[index]
    depth = 0
    for number in range(index, len(lines)):
        line = lines[number]
        for token in line.tokens:
            depth += (token.kind == "open") - (token.kind == "close")
        ends_header = base.first.text in HEADERS and line.last.text == ":"
        if depth <= 0 or ends_header or number + 1 == len(lines) or begins_statement(lines[number + 1], base.indent):
            return number + 1 - index
    return 1


def begins_statement(line: Line, base_indent: int) -> bool:
    """Whether a line cannot belong to the brackets that a statement at `base_indent` left open."""
    first = line.first
    if first.kind == "close":
        return line.indent < base_indent
    if first.text in _NEVER_INSIDE or (first.text in ("for", "if", "else") and line.last.text == ":"):
        return True
    if _assigns(line):
        return True
    return line.indent <= base_indent


def _assigns(line: Line) -> bool:
    """Whether the line holds an assignment that no call's keyword argument could be: `self.x = …`, `n += …`."""
    depth, since_comma = 0, 0
    for number, token in enumerate(line.tokens):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0 and token.text == ",":
            since_comma = number + 1
        elif depth == 0 and token.text in _AUGMENTED:
            return True
        elif depth == 0 and token.text == "=":
            return number - since_comma > 1
        elif depth < 0 or token.text in ("lambda", ":"):
            return False
    return False


def parses_alone(text: str, statement: Statement) -> bool:
    """Whether a statement is one by itself; a header counts with an empty body."""
    return parses_as(text[statement.start : statement.end], statement)


def parses_as(source: str, statement: Statement) -> bool:
    """Whether `source`, put in the statement's place, is a statement. The statement tells indentation and keyword."""
    margin = source[: len(source) - len(source.lstrip())]
    word = statement.keyword
    lead = f"if 1:\n{margin}pass\n" if margin else ""
    if word in ("elif", "else"):
        lead += f"{margin}if 1:pass\n"
    elif word in ("except", "finally"):
        lead += f"{margin}try:pass\n"
    tail = ""
    if source.rstrip().endswith(":") and word in HEADERS:
        tail = "pass" + (f"\n{margin}finally:pass" if word == "try" else "")
    elif word == "@":
        tail = f"\n{margin}def f():pass"
    return (
        parse.__wrapped__(f"{lead}{source}{tail}\n") is not None
    )  # fragments would crowd whole files out of the cache


def is_name(token: Token) -> bool:
    return token.kind == "name" and not keyword.iskeyword(token.text)
