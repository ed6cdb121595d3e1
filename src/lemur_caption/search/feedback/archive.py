"""An archive of the best Net of every kind: MAP-Elites (Mouret & Clune, "Illuminating search spaces by mapping elites", 2015)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...candidate import Candidate
from .plan import Finished, score

# For Nets without a design: the first that their code names.
_DECODERS = {"transformer": r"Transformer\w*|MultiheadAttention", "lstm": r"LSTM\w*", "gru": r"GRU\w*"}
_ENCODERS = {
    "vit": r"ViT\w*|PatchEmbed\w*|VisionTransformer",
    "inception": r"Inception\w*",
    "dense": r"Dense(?:Layer|Block|Net)\w*",
    "fire": r"Fire\w*|SqueezeNet\w*",
    "mbconv": r"MBConv\w*|InvertedResidual\w*",
    "convnext": r"ConvNeXt\w*|CNBlock\w*",
    "residual": r"Residual\w*|BasicBlock|Bottleneck|ResNet\w*",
    "convolution": r"Conv2d",
}


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
        decoder, encoder = (_named(candidate.source, kinds) for kinds in (_DECODERS, _ENCODERS))
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


def _named(source: str, kinds: dict[str, str]) -> str:
    return next((kind for kind, pattern in kinds.items() if re.search(rf"\b(?:{pattern})\b", source)), "other")
