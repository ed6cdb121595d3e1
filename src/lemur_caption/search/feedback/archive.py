"""An archive of the best Net of every kind: MAP-Elites (Mouret & Clune, "Illuminating search spaces by mapping elites", 2015)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...candidate import Candidate
from ...kinds import read_kinds
from .plan import Finished, score


@dataclass(frozen=True)
class Elite:
    """The best Net of a cell so far."""

    index: int
    candidate: Candidate
    score: float


def cell(candidate: Candidate) -> tuple[str, str, int]:
    """A Net's kind: decoder, encoder, and its size as a power of two of parameters (-1 where that is unknown)."""
    if candidate.design:
        decoder, encoder = str(candidate.design["decoder"]), str(candidate.design["block"])
    else:
        kinds = read_kinds(candidate)
        decoder, encoder = kinds.decoder or "other", kinds.encoder or "other"
    return decoder, encoder, int(math.log2(candidate.parameters)) if candidate.parameters else -1


def elites(finished: Sequence[Finished]) -> list[Elite]:
    """The best trained candidate of each cell, best first; of equals the earlier one."""
    best: dict[tuple[str, str, int], Elite] = {}
    for index, candidate in finished:
        reached = score(candidate)
        if reached is not None:
            place = cell(candidate)
            if place not in best or reached > best[place].score:
                best[place] = Elite(index, candidate, reached)
    return sorted(best.values(), key=lambda elite: (-elite.score, elite.index))
