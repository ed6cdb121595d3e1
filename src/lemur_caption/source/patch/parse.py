"""From an answer to the hunks in it, whatever form they were given."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lemur_caption.source.extraction import split_thinking
from lemur_caption.source.fixups import MAX_CHARACTERS
from lemur_caption.source.fixups.scan import parse

_FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*([\w+-]*)[^`]*$")
_HEADER = re.compile(r"[ \t]*@@+(.*)$")
_NUMBERS = re.compile(r"\s*-\s*(\d+)(?:,\s*(\d+))?\s+\+\s*(\d+)(?:,\s*(\d+))?")
_SEARCH = re.compile(r"[ \t]*<{5,}[ \t\w]*$")
_DIVIDER = re.compile(r"[ \t]*={5,}[ \t]*$")
_REPLACE = re.compile(r"[ \t]*>{5,}[ \t\w]*$")
_GIT = re.compile(
    r"(?:diff --git .*|index [0-9a-f]{4,}\.\.[0-9a-f]{4,}.*|(?:new|deleted) file mode \d+|(?:old|new) mode \d+"
    r"|similarity index .*|rename (?:from|to) .*|Index: .*|={20,}|\*\*\* (?:Begin|End) Patch|\*\*\* End of File)[ \t]*$"
)
_UPDATE = re.compile(r"\*\*\* (?:Update|Add) File: *(.*)$")
_NO_NEWLINE = re.compile(r"[ +-]?\\ ?No newline\b")
_TAG = re.compile(r"[ \t]*(?:</?[a-z_-]{2,}>|<[|\uff5c][^<>\n]{1,40}[|\uff5c]>)[ \t]*$", re.IGNORECASE)
_CLASS = re.compile(r"^class ", re.MULTILINE)
_PLUS = re.compile(r"^\+", re.MULTILINE)
_DIFF_LANGUAGES = ("diff", "patch", "udiff")
# Of longer search/replace blocks every line counts as changed: to compare them takes the square of their length.
_MOST_COMPARED = 1000


class PatchLine(NamedTuple):
    """A line of a hunk. `mark` is `+`, `-`, a space for context, or empty for context that came without its space."""

    mark: str
    text: str

    @property
    def old(self) -> bool:
        return self.mark != "+"

    @property
    def blank(self) -> bool:
        return not self.text.strip()


@dataclass(frozen=True)
class Hunk:
    """One change. `start` is the line, from 1, that its header states; `heading` what the header says instead."""

    lines: tuple[PatchLine, ...]
    start: int | None = None
    heading: str = ""
    file: str = ""

    @property
    def changes_nothing(self) -> bool:
        before = [line.text.rstrip() for line in self.lines if line.old]
        return before == [line.text.rstrip() for line in self.lines if line.mark != "-"]


@dataclass(frozen=True)
class Patch:
    """The hunks of an answer in their order, and what was left out of it."""

    hunks: tuple[Hunk, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def new_file(self) -> str | None:
        """The whole file, where the diff adds it line by line to nothing; None where it changes one."""
        lines = [line for hunk in self.hunks for line in hunk.lines]
        text = "\n".join(line.text for line in lines) + "\n"
        return text if lines and all(line.mark == "+" for line in lines) and "\nclass Net" in text else None


@dataclass
class _Block:
    """Lines between two fences, or around them."""

    lines: list[str]
    language: str = ""
    fenced: bool = False
    closed: bool = True

    @property
    def is_diff(self) -> bool:
        if any(_HEADER.match(line) or _SEARCH.match(line) or _UPDATE.match(line) for line in self.lines):
            return True
        if any(_names_file(self.lines, number) for number in range(len(self.lines))):
            return True
        marked = any(line.startswith(("+", "-")) for line in self.lines)
        return self.fenced and marked and (self.language in _DIFF_LANGUAGES or parse("\n".join(self.lines)) is None)


def parse_patch(text: str, cut_off: bool = False) -> Patch:
    """The hunks in an answer: unified diffs, git's and looser ones, and search/replace blocks. Never raises.

    `cut_off` says that the answer reached its limit: a hunk that no fence follows is then incomplete and left out. What
    stands in `<think>` counts only where there is nothing else.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")[-MAX_CHARACTERS:]
    answers, thoughts = split_thinking(text)
    text = "\n".join(answers) if any(part.strip() for part in answers) else "\n".join(thoughts)
    blocks = list(_blocks(text))
    diffs = [block for block in blocks if block.is_diff]
    bare = len(blocks) == 1 and not diffs and _PLUS.search(text) and not _CLASS.search(text)
    reader = _Reader()
    for block in blocks if bare else diffs:
        reader.read(block, headless=block.fenced or bool(bare))
    broken_off = blocks and not blocks[-1].closed and not text.endswith("\n") and reader.lacks_lines
    if reader.hunks and reader.last_block is blocks[-1] and ((cut_off and not reader.ended) or broken_off):
        reader.hunks.pop()
        reader.notes.append("the last hunk was cut off and is left out")
    return Patch(tuple(reader.hunks), tuple(reader.notes))


def _blocks(text: str) -> Iterator[_Block]:
    block = _Block([])
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if fence is None:
            if not _TAG.match(line):
                block.lines.append(line)
            continue
        block.closed = True
        if any(line.strip() for line in block.lines):
            yield _dedented(block)
        opens = not block.fenced or bool(fence[1])
        block = _Block([], fence[1].lower(), fenced=opens, closed=not opens)
    if any(line.strip() for line in block.lines):
        yield _dedented(block)


def _dedented(block: _Block) -> _Block:
    """A fenced diff may stand in a list, indented as a whole."""
    if block.fenced:
        block.lines = textwrap.dedent("\n".join(block.lines)).split("\n")
    return block


def _names_file(lines: list[str], number: int) -> bool:
    """Whether a line and the next are `--- a` and `+++ b`."""
    following = lines[number + 1] if number + 1 < len(lines) else ""
    return lines[number].startswith("--- ") and following.startswith("+++ ")


def _file_name(header: str) -> str:
    """`b/nets/net.py\t2024-01-01` as `net.py`."""
    name = header[4:].split("\t")[0].strip().strip('"')
    return name.rpartition("/")[2]


@dataclass
class _Reader:
    """Goes through the lines of one block after the other and collects hunks."""

    hunks: list[Hunk] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last_block: _Block | None = None
    lacks_lines: bool = False
    """Whether the last hunk has fewer lines, old and new, than its header states."""
    ended: bool = False
    """Whether the last hunk has an end of its own, as a search/replace block has."""

    _lines: list[PatchLine] | None = None
    _start: int | None = None
    _counts: tuple[int, int] = (0, 0)
    _heading: str = ""
    _file: str = ""

    def read(self, block: _Block, headless: bool) -> None:
        """Read a block; `headless` ones may hold a hunk without a header."""
        self._file = ""
        lines = block.lines
        number = 0
        while number < len(lines):
            line = lines[number]
            number += 1
            if _GIT.match(line) or _NO_NEWLINE.match(line):
                continue
            if _names_file(lines, number - 1):
                self._flush(block)
                self._file, headless = _file_name(lines[number]), True
                number += 1
            elif self._lines is None and line.startswith(("--- ", "+++ ")):
                self._file, headless = _file_name(line), True
            elif update := _UPDATE.match(line):
                self._flush(block)
                self._file, headless = _file_name("*** " + update[1]), True
            elif header := _HEADER.match(line):
                self._flush(block)
                self._begin(header[1])
            elif _SEARCH.match(line):
                self._flush(block)
                number = self._search_replace(block, number)
            elif self._lines is not None:
                self._lines.append(_line(line))
            elif headless and line.strip():
                self._begin("")
                self._lines = [_line(line)]
        self._flush(block)

    def _begin(self, header: str) -> None:
        self._lines = []
        numbers = _NUMBERS.match(header)
        self._start = int(numbers[1]) if numbers else None
        self._counts = (int(numbers[2] or 1), int(numbers[4] or 1)) if numbers else (0, 0)
        heading = (header[numbers.end() :] if numbers else header).replace("@", "").strip()
        self._heading = "" if heading.startswith(("...", "…")) else heading

    def _flush(self, block: _Block) -> None:
        """The hunk so far, without what cannot belong to it at its ends."""
        lines, self._lines = self._lines, None
        if lines is None:
            return
        first = next(
            (number for number, line in enumerate(lines) if line.mark in ("+", "-") or not line.blank), len(lines)
        )
        lines = lines[first:]
        # After a diff without a fence comes prose; in a fence a blank line is the gap before the next hunk.
        while lines and lines[-1].mark in ("", " ") and (lines[-1].blank or (not block.fenced and not lines[-1].mark)):
            lines.pop()
        if not any(line.mark in ("+", "-") for line in lines):
            return
        old, new = (sum(line.mark != other for line in lines) for other in ("+", "-"))
        self.lacks_lines = old < self._counts[0] and new < self._counts[1]
        start = self._start + first if self._start is not None else None
        self._add(Hunk(tuple(lines), start, self._heading, self._file), block, ended=False)

    def _add(self, hunk: Hunk, block: _Block, ended: bool) -> None:
        self.hunks.append(hunk)
        self.last_block, self.ended = block, ended

    def _search_replace(self, block: _Block, number: int) -> int:
        """Read a block from the line after its first mark; the number of the line after it."""
        marks = range(number, len(block.lines))
        divider = next((i for i in marks if _DIVIDER.match(block.lines[i])), None)
        last = next((i for i in marks if _REPLACE.match(block.lines[i])), None)
        if divider is None or last is None or last < divider:
            self.notes.append("a search/replace block has no end and is left out")
            return len(block.lines)
        self.lacks_lines = False
        lines = tuple(_difference(block.lines[number:divider], block.lines[divider + 1 : last]))
        self._add(Hunk(lines, file=self._file), block, ended=True)
        return last + 1


def _line(line: str) -> PatchLine:
    if line[:1] in ("+", "-", " "):
        return PatchLine(line[0], line[1:])
    return PatchLine("", line)


def _difference(old: list[str], new: list[str]) -> Iterator[PatchLine]:
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    compared = len(old) + len(new) <= _MOST_COMPARED
    for kind, first, last, new_first, new_last in (
        matcher.get_opcodes() if compared else [("replace", 0, len(old), 0, len(new))]
    ):
        for line in old[first:last]:
            yield PatchLine("" if kind == "equal" else "-", line)
        if kind != "equal":
            for line in new[new_first:new_last]:
                yield PatchLine("+", line)
