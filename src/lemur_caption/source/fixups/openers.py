"""Where an opening bracket was lost."""

from __future__ import annotations

import builtins
import keyword
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from lemur_caption.source.fixups.scan import CLOSERS, Statement, Token, is_name

# fmt: off
_BEGIN_EXPRESSION = frozenset({
    "=", "return", "in", "not", "and", "or", "is", "lambda", "if", "else", "assert", "yield", "await", "(", "[",
    "{", ",", ":", "+", "-", "*", "/", "%", "==", "!=", "<", ">",
})
# fmt: on
# Methods that are called with nothing, beside those that the file itself calls so.
# fmt: off
_NO_ARGUMENT = frozenset({
    "all", "any", "backward", "cpu", "dim", "item", "mean", "parameters", "step", "sum", "super", "train",
    "zero_grad",
})
# fmt: on
_KNOWN = frozenset(name for name in dir(builtins) if name.islower()) | {
    *("self", "nn", "torch", "F", "math", "Net", "dim", "weights", "ignore_index", "inplace", "bias"),
    *("reshape", "view", "flatten", "transpose", "permute", "size", "squeeze", "unsqueeze", "log", "Linear", "Dropout"),
}


class Edit(NamedTuple):
    """Characters start to end of the text replaced by `text`."""

    start: int
    end: int
    text: str


def open_somewhere(region: Statement, closer: Token, names: Names) -> Iterator[list[Edit]]:
    """Edits that give a closer its opener, or take the closer out, the likeliest first."""
    opener = CLOSERS[closer.text]
    tokens = region.tokens
    before = tokens[: tokens.index(closer)]
    pairs = list(pairwise([*before, closer]))
    places: list[int] = []
    for number, token in reversed(list(enumerate(before))):
        places += [token.start + split for split in names.splits(token, before[number - 1] if number else None)]
    # A line with more deeply indented lines under it lost its hanging opener.
    for line, following in zip(region.lines, region.lines[1:], strict=False):
        if following.indent > line.indent and line.last.kind in ("name", "close") and line.last.start < closer.start:
            places.append(line.last.end)
    for left, right in reversed(pairs[:-1]):
        side_by_side = right.kind in ("number", "string") or is_name(right)
        if ((is_name(left) or left.kind == "close") and side_by_side) or (
            opener == "[" and is_name(left) and right.text in (":", "...")
        ):
            places.append(left.end)
    if opener == "(":
        places += [left.end for left, right in reversed(pairs) if right.text == ")" and left.text in names.called_empty]
        if region.keyword == "def" and len(before) == 2 and not before[-1].text.endswith("self"):
            places.insert(0, before[-1].end)
    for place in places:
        yield [Edit(place, place, opener)]
    if before and before[-1].kind == "close":
        yield [Edit(closer.start, closer.end, "")]
    begins = [token.end for token in before if token.text in _BEGIN_EXPRESSION]
    operands = [token.end for token in reversed(before) if is_name(token) or token.kind == "close"]
    for place in [*begins, *operands, region.lines[0].first.start]:
        yield [Edit(place, place, opener)]


class Names:
    """What the file's own names tell of where a bracket was lost."""

    def __init__(self, found: list[Statement]) -> None:
        tokens = [token for statement in found for token in statement.tokens]
        self.counts = Counter(token.text for token in tokens if is_name(token))
        empty = {
            name.text
            for name, opener, closer in zip(tokens, tokens[1:], tokens[2:], strict=False)
            if name.kind == "name" and opener.text == "(" and closer.text == ")"
        }
        self.called_empty = empty | _NO_ARGUMENT

    def splits(self, token: Token, before: Token | None) -> list[int]:
        """Where a name that occurs nowhere else falls apart into two: `superx`, `Conv2dchannels`, `Netnn`."""
        if not is_name(token) or self.counts[token.text] > 1:
            return []
        lead = before.text if before else ""
        both: list[int] = []
        right_only: list[int] = []
        for split in range(1, len(token.text)):
            left, right = token.text[:split], token.text[split:]
            if (
                right.startswith("_")
                or keyword.iskeyword(left)
                or not (self._known(right) or keyword.iskeyword(right) or right.isdecimal())
            ):
                continue
            if lead in ("def", "class"):
                if self._known(right):
                    (both if right in ("self", "nn", "torch") else right_only).append(split)
            elif self._known(left):
                both.append(split)
            elif lead == "." and not right.isdecimal() and len(right) > 1:
                right_only.append(split)
        return both + right_only

    def _known(self, name: str) -> bool:
        return self.counts[name] > 0 or name in _KNOWN
