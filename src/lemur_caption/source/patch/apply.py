"""Applying a patch: every hunk where it belongs, or none of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lemur_caption.source.patch.locate import NotFound, Place, Source, bare, locate, reindented, shift
from lemur_caption.source.patch.parse import Hunk, Patch, PatchLine

# `...`, `# ...`, `# rest of the class unchanged`: what a model writes for code that it does not repeat.
_ELISION = re.compile(
    r"""\s*(?:\#\s*|\[\s*)?(?:\.{3}|\u2026)
    |\s*\#\s*(?:the\s+)?(?:rest|remainder)\s+of\b
    |\s*\#\s*(?:existing|remaining|other|same|previous|unchanged)\s+(?:code|methods?|layers|lines|as\s+before|as\s+above|parts?)\b
    |\s*\#.*\b(?:remains?|code|methods?|rest)\s+(?:is\s+|are\s+)?(?:unchanged|omitted|the\s+same)\b""",
    re.VERBOSE | re.IGNORECASE,
)
# A file that a diff names is the Net where at least this share of the lines that it shows are the Net's.
LEAST_SHARE = 0.5
MOST_HUNKS = 200


@dataclass(frozen=True)
class Patched:
    """What became of a patch. `source` is None where a hunk was refused; `fates` says what happened to each hunk."""

    source: str | None
    fates: tuple[str, ...]

    @property
    def note(self) -> str:
        return "; ".join(self.fates)


@dataclass
class _Edits:
    """What one hunk does: lines of the source that go, lines that it only leans on, and lines put before one."""

    removed: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)
    added: list[tuple[int, str]] = field(default_factory=list)


def apply_patch(patch: Patch, source: str) -> Patched:
    """The source with all hunks of the patch applied. Never raises, and never applies some hunks without the others.

    A hunk is refused where its lines have no place, or more than one, in the source; where it would change what another
    hunk changes; and where it adds an ellipsis in place of code. Hunks that change nothing, and hunks that repeat another,
    are left out. So are files that have little in common with the source. The source's own lines stay as they are.
    """
    if len(patch.hunks) > MOST_HUNKS:
        return Patched(None, (f"refused: {len(patch.hunks)} hunks are more than {MOST_HUNKS}",))
    original = Source(source)
    hunks, fates = _of_this_file(patch, original)
    done: list[_Edits] = []
    refused = False
    for number, hunk in enumerate(hunks, 1):
        if hunk.changes_nothing:
            fates.append(f"hunk {number} changes nothing")
            continue
        try:
            edits, where = _edits(hunk, original)
            if edits in done:
                fates.append(f"hunk {number} repeats another")
                continue
            _keep_apart(edits, done)
        except NotFound as reason:
            refused = True
            fates.append(f"hunk {number} refused: {reason}")
            continue
        done.append(edits)
        fates.append(f"hunk {number} applied {where}")
    return Patched(None if refused else _applied(original, done), (*fates, *patch.notes))


def _of_this_file(patch: Patch, source: Source) -> tuple[list[Hunk], list[str]]:
    """The hunks of the file that the source is, whatever its name, and a note of what is left out."""
    files = dict.fromkeys(hunk.file for hunk in patch.hunks if hunk.file)
    if len(files) < 2:
        return list(patch.hunks), []
    shares = {}
    for name in files:
        shown = [bare(line.text) for hunk in patch.hunks if hunk.file == name for line in hunk.lines if line.old]
        shown = [line for line in shown if line]
        shares[name] = sum(line in source.known for line in shown) / max(len(shown), 1)
    others = [name for name in files if shares[name] < LEAST_SHARE]
    if len(others) == len(files):
        return list(patch.hunks), []
    return [hunk for hunk in patch.hunks if hunk.file not in others], [f"file {name} is left out" for name in others]


def _edits(hunk: Hunk, source: Source) -> tuple[_Edits, str]:
    """What the hunk does to the source, and where; raises NotFound."""
    edits = _Edits()
    places: list[Place] = []
    for part in _parts(hunk, source):

        def narrow(found: list[Place]) -> list[Place]:
            return _narrowed(found, hunk, source, places[-1] if places else None)

        place = locate(part, source, narrow, after=places[-1].last if places else -1)
        places.append(place)
        _collect(part, place, source, edits)
    where = f"at line {places[0].first + 1}"
    inexact = [place.how for place in places if place.how != "exactly"]
    return edits, f"{where}, {inexact[0]}" if inexact else where


def _parts(hunk: Hunk, source: Source) -> Iterator[list[PatchLine]]:
    """The hunk cut where it leaves lines of the source out. Raises NotFound where it leaves lines out of what it adds."""
    part: list[PatchLine] = []
    for line in hunk.lines:
        if _ELISION.match(line.text) and bare(line.text) not in source.known:
            if line.mark in ("+", "-"):
                raise NotFound(f"it leaves code out: `{line.text.strip()[:60]}`")
            if part:
                yield part
            part = []
        else:
            part.append(line)
    if part:
        yield part


def _narrowed(found: list[Place], hunk: Hunk, source: Source, before: Place | None) -> list[Place]:
    """Of several places the one at the line that the hunk states, or in the block that it names or goes on with."""
    if len(found) == 1:
        return found
    stated = [place for place in found if hunk.start is not None and place.first == hunk.start - 1]
    if stated and before is None:
        return stated
    if before is not None:
        block = source.scope(before.last)
        return [place for place in found if place.first in block]
    named = [number for number, line in enumerate(source.bare) if _names(hunk.heading, line)]
    if len(named) == 1:
        block = source.scope(named[0])
        return [place for place in found if place.first in block or place.first == named[0]]
    return found


def _names(heading: str, line: str) -> bool:
    """Whether a header's text, perhaps without the line's end, is a line of the source."""
    wanted = bare(heading)
    if not wanted or not line.startswith(wanted):
        return False
    following = line[len(wanted) : len(wanted) + 1]
    return not (following.isidentifier() and wanted[-1].isidentifier())


def _collect(part: Sequence[PatchLine], place: Place, source: Source, edits: _Edits) -> None:
    by = shift(part, place, source)
    following = place.first
    for number, line in enumerate(part):
        if line.mark == "+":
            edits.added.append((following, reindented(line.text, by, source.has_tabs)))
        elif number in place.lines:
            where = place.lines[number]
            (edits.removed if line.mark == "-" else edits.kept).add(where)
            following = where + 1


def _keep_apart(edits: _Edits, done: list[_Edits]) -> None:
    """Raises NotFound where a hunk leans on a line that another removes, or would write between lines that it removes."""
    for other in done:
        for one, two in ((edits, other), (other, edits)):
            inside = any(at in two.removed and at - 1 in two.removed for at, _ in one.added)
            if inside or one.removed & (two.removed | two.kept):
                raise NotFound("it overlaps another hunk")


def _applied(source: Source, done: list[_Edits]) -> str:
    removed = {number for edits in done for number in edits.removed}
    added: dict[int, list[str]] = {}
    for edits in done:
        for at, text in edits.added:
            added.setdefault(at, []).append(text)
    lines: list[str] = []
    for number in range(len(source.lines) + 1):
        lines += added.get(number, [])
        if number < len(source.lines) and number not in removed:
            lines.append(source.lines[number])
    return "\n".join(lines)
