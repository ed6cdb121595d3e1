"""From a language model's response to the Net in it.

A response is cut at its marks (fences, tags, special tokens) into pieces; each piece is read as code, once as it is
and once without the prose around it, and the one whose syntax tree looks most like a Net wins. A mark that is missing,
doubled or nested therefore costs nothing: it only changes where the cuts are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lemur_caption.source.extraction.pieces import completed
from lemur_caption.source.extraction.prose import unwrapped, without_prose
from lemur_caption.source.extraction.survey import Survey, survey
from lemur_caption.source.fixups import MAX_CHARACTERS
from lemur_caption.source.fixups.marks import TAGS
from lemur_caption.source.fixups.scan import parse

_THINK = re.compile(r"<(/?)(?:think|thinking|thought|reasoning|reflection)>", re.IGNORECASE)
_MARK = re.compile(
    rf"""(?:^[ \t>]*)?(?:`{{3,}}|~{{3,}})[ \t]*[\w+\#.:-]*
             (?:\{{[^}}\n]*\}}|[ \t]+(?!import\b|from\b|class\b|def\b)[^\n`]*)?
    |</?(?:{"|".join(TAGS)})(?:[ \t][^<>\n]*)?>
    |<[|\uff5c][^<>\n|\uff5c]{{1,40}}[|\uff5c]>|</?s>|\[/?INST\]""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_MOST_PIECES = 60
# A Net whose own text holds marks comes in so many pieces at most.
_LONGEST_RUN = 5


@dataclass(frozen=True)
class Extraction:
    """What a response holds: the code most likely to be the Net, or None; why; how many blocks of code there were.

    Code that ends without a newline is where the response broke off.
    """

    code: str | None
    note: str
    candidates: int


@dataclass(frozen=True)
class _Block:
    code: str
    survey: Survey
    position: tuple[int, int]  # region and piece; two readings of a piece share it

    def rank(self) -> tuple[int, tuple[int, int], int]:
        """The better Net first; of equals the later; of two readings of one piece the one that is more of a file."""
        return self.survey.net_score, self.position, self.survey.module_score


def extract(response: str) -> Extraction:
    """The Net in a response. Never raises.

    Looks in the answer first and in what stands in `<think>` (closed or not) only where the answer has no class. Of
    several blocks that are Nets to the same degree the last one wins; what it uses and other blocks define is added.
    """
    text = response.replace("\r\n", "\n").replace("\r", "\n")[-5 * MAX_CHARACTERS :]
    answers, thoughts = split_thinking(text)
    seen = 0
    for regions, place in ((answers, ""), (thoughts, " in the reasoning")):
        blocks = [block for number, region in enumerate(regions) for block in _blocks(region, number)]
        seen += len({block.code for block in blocks if block.survey.has_code})
        nets = [block for block in blocks if block.survey.has_class]
        if nets:
            best = max(nets, key=_Block.rank)
            code, added = completed(best.code, best.survey, [block.survey for block in blocks if block is not best])
            what = "class Net" if best.survey.net_named else f"class {best.survey.net_name}, no class Net,"
            note = f"{what} in one of {len(nets)} block(s) with classes{place}"
            note += f"; added from other blocks: {', '.join(added)}" if added else ""
            return Extraction(code, note, seen)
    if not response.strip():
        return Extraction(None, "the response is empty", 0)
    if thoughts and not any(region.strip() for region in answers):
        return Extraction(None, "the response is reasoning without an answer and holds no class", seen)
    return Extraction(None, f"{seen} block(s) of code, none defines a class", seen)


def split_thinking(text: str) -> tuple[list[str], list[str]]:
    """The answer's and the reasoning's parts. A `</think>` alone ends reasoning that began with the response."""
    answers: list[str] = []
    thoughts: list[str] = []
    start, inside = 0, False
    for tag in _THINK.finditer(text):
        part = text[start : tag.start()]
        if tag[1]:
            if inside:
                thoughts.append(part)
            else:
                thoughts += [*answers, part]
                answers = []
            inside = False
        elif inside:
            thoughts.append(part)
        else:
            answers.append(part)
            inside = True
        start = tag.end()
    (thoughts if inside else answers).append(text[start:])
    return answers, thoughts


def _blocks(region: str, region_number: int) -> Iterator[_Block]:
    """The region's pieces as code, in order; a run of pieces where only that parses."""
    for number, code in enumerate(_strings_of_json(region)):
        yield from _readings(code, (region_number, number))
    marks = list(_MARK.finditer(region))[-_MOST_PIECES:]
    cuts = [(0, 0), *((mark.start(), mark.end()) for mark in marks), (len(region), len(region))]
    for i, (_, start) in enumerate(cuts[:-1]):
        piece = _piece(region, start, cuts[i + 1][0])
        yield from _readings(piece, (region_number, i))
        if parse(piece) is not None or not _may_hold_code(piece):
            continue
        for j in range(i + 2, min(i + 1 + _LONGEST_RUN, len(cuts))):
            whole = _piece(region, start, cuts[j][0])
            pieces = [_piece(region, cuts[k][1], cuts[k + 1][0]) for k in range(i, j)]
            joined = without_prose("\n".join(part.rstrip("\n") for part in pieces) + "\n")
            sound = next((run for run in (whole, joined) if parse(run) is not None), None)
            if sound is not None:
                yield _Block(sound, survey(sound), (region_number, j - 1))
                break


def _piece(region: str, start: int, end: int) -> str:
    """A piece without blank lines at its ends; one that a mark ended ends with a newline."""
    piece = region[start:end]
    piece = re.sub(r"\A[ \t]*\n(?:[ \t]*\n)*", "", piece)
    return piece.rstrip() + "\n" if end < len(region) or piece.endswith("\n") else piece


def _readings(piece: str, position: tuple[int, int]) -> Iterator[_Block]:
    """A piece as it stands, and where that is not all code, without quotation marks and prose."""
    if not _may_hold_code(piece):
        return
    yield _Block(piece, survey(piece), position)
    if parse(piece) is None or piece[:1].isspace() or not survey(piece).only_code:
        plain = without_prose(unwrapped(piece))
        if plain != piece and plain.strip():
            yield _Block(plain, survey(plain), position)


def _may_hold_code(piece: str) -> bool:
    """A cheap look before the piece is read; the score is the syntax tree's affair."""
    return len(piece) <= MAX_CHARACTERS and re.search(r"\b(?:class|def|import)\b", piece) is not None


def _strings_of_json(region: str) -> list[str]:
    """The strings of an answer that is a JSON object."""
    stripped = region.strip().removeprefix("```json").removesuffix("```").strip()
    if not stripped.startswith("{"):
        return []
    try:
        values = json.loads(stripped, strict=False)
    except (ValueError, RecursionError):
        return []
    return [value + "\n" for value in values.values() if isinstance(value, str)]
