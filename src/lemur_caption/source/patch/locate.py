"""Where the lines of a hunk stand in a source."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from lemur_caption.source.patch.parse import PatchLine

# Of a place that differs from what a hunk shows, so much must be the same, and every other place less by the margin.
LEAST_SIMILARITY = 0.7
MARGIN = 0.1
# Longer hunks are copies of the file; what is not the same in them is not worth the search.
MOST_FUZZY_LINES = 40
TAB = 4


class Source:
    """A file's lines, and what they are without white space."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.bare = [bare(line) for line in self.lines]
        self.solid = [number for number, line in enumerate(self.bare) if line]
        self.known = frozenset(self.bare)
        self.has_tabs = any(line.startswith("\t") for line in self.lines)

    def scope(self, line: int) -> range:
        """The lines after `line` that belong to the block that it opens, or else to the block that it stands in."""
        least = indentation(self.lines[line]) + self.bare[line].endswith((":", "("))
        end = line + 1
        while end < len(self.lines) and (not self.bare[end] or indentation(self.lines[end]) >= least):
            end += 1
        return range(line + 1, end)


@dataclass(frozen=True)
class Place:
    """Where old lines stand: by their number in the hunk, the line of the source, from 0. Blank lines may have none."""

    lines: dict[int, int]
    how: str
    readings: tuple[Callable[[PatchLine], str], ...] = field(default=(), compare=False)

    @property
    def first(self) -> int:
        return min(self.lines.values())

    @property
    def last(self) -> int:
        return max(self.lines.values())


class NotFound(Exception):
    """Why the lines have no one place."""


def as_marked(line: PatchLine) -> str:
    return line.text


def as_bare(line: PatchLine) -> str:
    """A context line that was written without the space before it, though it begins with one."""
    return " " + line.text if line.mark == " " else line.text


def locate(
    lines: Sequence[PatchLine], source: Source, narrow: Callable[[list[Place]], list[Place]], after: int = -1
) -> Place:
    """The one place after line `after` where all old lines stand; raises NotFound.

    `narrow` chooses of several equally good places those that the hunk means by something else. Exact places come first,
    then those that differ in white space, then those where context differs; a removed line is there or it is not.
    """
    old = [(number, line) for number, line in enumerate(lines) if line.old]
    if all(line.blank for _, line in old):
        raise NotFound("it shows no line that tells where it belongs")
    searches = (_exact(old, source, as_marked), _exact(old, source, as_bare), _spaced(old, source))
    for search in searches:
        if places := [place for place in search if place.first > after]:
            chosen = narrow(places)
            if len(chosen) != 1:
                raise NotFound(f"its lines stand at {len(places)} places")
            return chosen[0]
    for _, line in old:
        if line.mark == "-" and bare(line.text) not in source.known:
            raise NotFound(f"the file has no line `{line.text.strip()[:60]}` to remove")
    return _similar(old, source, after)


def _exact(old: list[tuple[int, PatchLine]], source: Source, reading: Callable[[PatchLine], str]) -> Iterator[Place]:
    wanted = [reading(line).rstrip() for _, line in old]
    for start in range(len(source.lines) - len(old) + 1):
        if all(source.lines[start + i].rstrip() == text for i, text in enumerate(wanted)):
            readings = (reading,) if reading is as_marked else (as_marked, as_bare)
            yield Place({number: start + i for i, (number, _) in enumerate(old)}, "exactly", readings)


def _spaced(old: list[tuple[int, PatchLine]], source: Source) -> Iterator[Place]:
    wanted = [bare(line.text) for _, line in old if not line.blank]
    for start in range(len(source.solid) - len(wanted) + 1):
        if all(source.bare[source.solid[start + i]] == text for i, text in enumerate(wanted)):
            yield _with_blanks(old, source, start, "but for white space")


def _similar(old: list[tuple[int, PatchLine]], source: Source, after: int) -> Place:
    solid = [line for _, line in old if not line.blank]
    if len(solid) > MOST_FUZZY_LINES:
        raise NotFound("its lines are not those of the file")
    scored = []
    for start in range(len(source.solid) - len(solid) + 1):
        there = [source.bare[number] for number in source.solid[start : start + len(solid)]]
        if source.solid[start] > after and (score := _similarity(solid, there)) is not None:
            scored.append((score, start))
    scored.sort(reverse=True)
    if not scored or scored[0][0] < LEAST_SIMILARITY:
        raise NotFound("its lines are nowhere in the file")
    if len(scored) > 1 and scored[1][0] > scored[0][0] - MARGIN:
        raise NotFound("its lines are like those of several places")
    return _with_blanks(old, source, scored[0][1], f"by {scored[0][0]:.0%} of its context")


def _similarity(solid: list[PatchLine], there: list[str]) -> float | None:
    """The share of the lines that is there, in [0, 1]; None where a removed line is not, or fewer than half are."""
    wanted = [bare(line.text) for line in solid]
    same = [text == other for text, other in zip(wanted, there, strict=True)]
    if 2 * sum(same) < len(same) or any(line.mark == "-" and not hit for line, hit in zip(solid, same, strict=True)):
        return None
    ratios = [
        1.0 if text == other else _ratio(text[:200], other[:200]) for text, other in zip(wanted, there, strict=True)
    ]
    return sum(ratios) / len(ratios)


@lru_cache(maxsize=4096)
def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _with_blanks(old: list[tuple[int, PatchLine]], source: Source, start: int, how: str) -> Place:
    """The place of which the solid lines begin at `source.solid[start]`; blank ones stand where there is one."""
    lines: dict[int, int] = {}
    following = source.solid[start]
    for number, line in old:
        if not line.blank:
            lines[number] = source.solid[start]
            start += 1
            following = lines[number] + 1
        elif following < len(source.lines) and not source.bare[following]:
            lines[number] = following
            following += 1
    return Place(lines, how, (as_marked, as_bare))


def shift(lines: Sequence[PatchLine], place: Place, source: Source) -> int:
    """The columns by which added lines move, so that they stand to the source as they stood to the old lines.

    What the removed lines moved by counts, and where there are none the context. Raises NotFound where the lines moved
    apart.
    """
    at = {
        number: indentation(source.lines[where])
        for number, where in place.lines.items()
        if not lines[number].blank and bare(lines[number].text) == source.bare[where]
    }
    removed = {where - indentation(lines[number].text) for number, where in at.items() if lines[number].mark == "-"}
    if removed:
        if len(removed) > 1:
            raise NotFound("the indentation of its lines does not fit the file's")
        return removed.pop()
    if not any(line.mark == "+" and not line.blank for line in lines):
        return 0
    choices = []
    for reading in place.readings:
        moved = {where - indentation(reading(lines[number])) for number, where in at.items()}
        if len(moved) == 1:
            by = moved.pop()
            odd = sum((indentation(line.text) + by) % TAB > 0 for line in lines if line.mark == "+" and not line.blank)
            if by % TAB == 0 or not odd:
                choices.append((odd, by != 0, by))
    if not choices:
        raise NotFound("the indentation of its lines does not fit the file's")
    return min(choices)[2]


def reindented(text: str, by: int, keep_tabs: bool) -> str:
    """A line moved by so many columns."""
    text = text.rstrip()
    if not text or (by == 0 and (keep_tabs or not text.startswith("\t"))):
        return text
    return " " * max(indentation(text) + by, 0) + text.lstrip()


def indentation(line: str) -> int:
    expanded = line.expandtabs(TAB)
    return len(expanded) - len(expanded.lstrip())


def bare(line: str) -> str:
    return "".join(line.split())
