"""The hand-made Nets that every search is measured against, under the same budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..candidate import Candidate
from .settings import Settings

BASELINES = ("CaptionLSTM", "CaptionTransformer")
# A trial that takes so many times the slower baseline's time is stopped.
PATIENCE_WITH_TRIALS = 10
SHORTEST_TIMEOUT = 120.0
# LEMUR itself stops an epoch's training after half an hour; its evaluation comes on top.
LONGEST_EPOCH = 3600.0


def names(settings: Settings) -> dict[int, str]:
    """The baselines of a run, by index below 0: the one to start from has -1."""
    found = dict.fromkeys([settings.baseline, *BASELINES])
    return {-1 - place: name for place, name in enumerate(found)}


def design(settings: Settings, name: str) -> dict[str, Any] | None:
    """A baseline as a point of the space that the run searches, where it is one."""
    from ..architecture import baseline_design

    if settings.strategy != "design":
        return None
    found = baseline_design(name, settings.size, settings.lr, settings.momentum)
    return found.model_dump(mode="json") if found is not None else None


def whole(settings: Settings, candidate: Candidate) -> bool:
    """Whether a Net has trained well to its last epoch, so that its metric compares with others'."""
    success = candidate.outcome is not None and candidate.outcome.success
    return success and len(candidate.epochs) == settings.epochs


def best(settings: Settings, ended: Mapping[int, Candidate]) -> float | None:
    """The best baseline's metric; None where none has trained."""
    return max((c.epochs[-1].accuracy for i, c in ended.items() if i < 0 and whole(settings, c)), default=None)


def timeout(settings: Settings, ended: Mapping[int, Candidate]) -> float:
    """Seconds that a trial may take: what was asked for, else by the baselines once they have trained."""
    if settings.timeout_seconds is not None:
        return settings.timeout_seconds
    trained = [c for i, c in ended.items() if i < 0 and c.outcome and c.outcome.success]
    if not trained:
        return settings.epochs * LONGEST_EPOCH
    # Of a baseline that was killed at its end, its epochs alone tell how long they took.
    took = [max(sum(c.seconds.values()) - c.seconds.get("tuning", 0.0), c.epochs[-1].seconds) for c in trained]
    return max(SHORTEST_TIMEOUT, PATIENCE_WITH_TRIALS * max(took))
