"""A plan for one candidate, and who makes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ...candidate import Candidate, Outcome

Finished = tuple[int, Candidate]
"""A candidate with an outcome, after its place in the search."""


class Baseline(NamedTuple):
    """The Net that a prompt starts from: LEMUR's name, the source, and the metric under the search's budget."""

    name: str
    source: str
    score: float


@dataclass(frozen=True)
class Plan:
    """What candidate i is asked for.

    `parents` are indices of finished candidates. `baseline` replaces the search's own where it is not None. `examples` are
    Nets that trained well, in words, with their metric; `avoid` are lines on what went wrong lately. `pinned` are fields of a
    design that the language model is not to choose, or to choose among the values of a tuple. `exploration`: the candidate
    owes nothing to earlier ones.
    """

    exploration: bool
    parents: tuple[int, ...] = ()
    baseline: Baseline | None = None
    examples: tuple[tuple[str, float], ...] = ()
    avoid: tuple[str, ...] = ()
    pinned: Mapping[str, Any] = field(default_factory=dict)


class Policy(Protocol):
    """Plans a search's candidates. `learns`: whether a plan depends on what has finished."""

    @property
    def learns(self) -> bool: ...

    def plan(self, index: int, finished: Iterable[Finished], taken: Iterable[Mapping[str, Any]] = ()) -> Plan:
        """The plan for candidate `index`. It depends on the policy's seed, `index` and the arguments' contents alone.

        `finished` may hold the search's baseline, with an index below 0. `taken` are the designs that there are already, those
        that are still being trained among them.
        """
        ...


def score(candidate: Candidate) -> float | None:
    """The last epoch's metric; None for a candidate that did not train, or to no number."""
    if candidate.outcome is None or not candidate.outcome.success or not candidate.epochs:
        return None
    reached = candidate.epochs[-1].accuracy
    return reached if math.isfinite(reached) else None


def failed_in_training(candidate: Candidate) -> bool:
    """Whether a sound Net came to nothing in training, which says something about its design."""
    spoilt = (Outcome.DIVERGED, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.RUNTIME_ERROR)
    return candidate.outcome in spoilt and not contract_errors(candidate)


def contract_errors(candidate: Candidate) -> list[dict[str, Any]]:
    """The findings that speak against a Net, warnings left out."""
    return [finding for finding in candidate.findings if finding.get("severity", "error") == "error"]
