"""The policies that `--feedback` names."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...candidate import Candidate
from ...errors import UsageError
from .archive import Elite, elites
from .avoid import avoid_lines
from .effects import draw_effects
from .plan import Baseline, Finished, Plan, Policy, failed_in_training, score

EXAMPLES = 3
MOST_OPEN = 3


class IndependentPolicy:
    """The paper's sampling: every candidate is asked for in the same way, whatever the others came to."""

    def plan(self, index: int, finished: Iterable[Finished]) -> Plan:
        return Plan(exploration=True)


@dataclass(frozen=True)
class FeedbackPolicy(ABC):
    """Explores at first, and then more and more often builds on what has trained best.

    The share of exploration is 1 for the first `warm_up` candidates, falls along half a cosine to `least` in the
    middle of the `candidates`, and stays there. `size` is that of the designs.
    Raises UsageError for numbers that make no schedule.
    """

    seed: int = 0
    size: str = "pocket"
    candidates: int = 16
    warm_up: int = 4
    least: float = 0.1

    def __post_init__(self) -> None:
        if self.candidates < 1 or self.warm_up < 1 or not 0 <= self.least <= 1:
            raise UsageError(
                f"a schedule needs candidates and a warm-up of at least 1 and a share in [0, 1], not {self.candidates}, "
                f"{self.warm_up} and {self.least}"
            )

    def share(self, index: int) -> float:
        """How likely candidate `index` is an exploration."""
        if index < self.warm_up:
            return 1.0
        done = min((index - self.warm_up + 1) / max(self.candidates / 2 - self.warm_up, 1), 1.0)
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * done)) / 2

    def plan(self, index: int, finished: Iterable[Finished]) -> Plan:
        """See `Policy`. Nothing is exploited before two candidates have trained."""
        rng = random.Random(f"feedback/{self.seed}/{index}")
        past = sorted(finished, key=lambda item: item[0])
        best = elites(past)
        explore = rng.random() < self.share(index)
        trained = sum(score(candidate) is not None for _, candidate in past)
        if explore or trained < 2:
            return Plan(exploration=True, avoid=avoid_lines(past))
        parent = _by_rank(best, rng)
        plan = Plan(
            exploration=False,
            parents=(parent.index,),
            baseline=Baseline(parent.candidate.name, parent.candidate.source, parent.score),
            examples=tuple((_in_words(elite.candidate), elite.score) for elite in best[:EXAMPLES]),
            avoid=avoid_lines(past),
        )
        return replace(plan, pinned=self.pins(parent, past, rng)) if parent.candidate.design else plan

    @abstractmethod
    def pins(self, parent: Elite, past: Sequence[Finished], rng: random.Random) -> dict[str, Any]:
        """The fields of the next design that are settled."""

    def open(self, rng: random.Random) -> list[str]:
        """The few fields, one to MOST_OPEN, that the language model chooses. The size is never one of them."""
        from ...architecture.space import choices

        fields = [name for name, values in choices(self.size).items() if len(values) > 1]
        return rng.sample(fields, rng.randint(1, MOST_OPEN))


class ArchivePolicy(FeedbackPolicy):
    """Keeps a parent's design but for one to three fields, which the language model chooses anew."""

    def pins(self, parent: Elite, past: Sequence[Finished], rng: random.Random) -> dict[str, Any]:
        assert parent.candidate.design is not None
        free = self.open(rng)
        return {name: value for name, value in _complete(parent.candidate.design).items() if name not in free}


class EffectsPolicy(FeedbackPolicy):
    """Settles each field on the value that a draw from a model of the scores likes best, and leaves one to three open.

    The model (see `effects`) learns from every design that trained, and from those that failed in training as if they had
    reached the worst score.
    """

    def pins(self, parent: Elite, past: Sequence[Finished], rng: random.Random) -> dict[str, Any]:
        from ...architecture.space import choices

        fields = choices(self.size)
        designs, scores = _experience(past, self.size)
        free = self.open(rng)
        effects = draw_effects(designs, scores, fields, rng)
        liked = {name: max(values, key=lambda value: effects[name][value]) for name, values in fields.items()}
        return {name: value for name, value in liked.items() if name not in free}


def _experience(past: Sequence[Finished], size: str) -> tuple[list[dict[str, Any]], list[float]]:
    """Designs of one size that were trained, and their scores."""
    reached = [(candidate.design, score(candidate), failed_in_training(candidate)) for _, candidate in past]
    known = [value for _, value, _ in reached if value is not None]
    worst = min(known, default=0.0)
    rows = [
        (_complete(design), worst if value is None else value)
        for design, value, failed in reached
        if design and design["size"] == size and (value is not None or failed)
    ]
    return [design for design, _ in rows], [value for _, value in rows]


def _complete(design: dict[str, Any]) -> dict[str, Any]:
    """A recorded design with the fields that designs have had since."""
    from ...architecture import Design

    return Design.model_validate(design).model_dump(mode="json")


def _by_rank(best: Sequence[Elite], rng: random.Random) -> Elite:
    """A parent by linear ranking: the best of n is n times as likely as the last."""
    return rng.choices(best, weights=range(len(best), 0, -1))[0]


def _in_words(candidate: Candidate) -> str:
    if not candidate.design:
        return candidate.name
    from ...architecture import Design, describe

    words = describe(Design.model_validate(candidate.design))
    return f"{words['encoder']} encoder, {words['decoder']} decoder, lr {candidate.design['lr']}"


POLICIES: dict[str, type[FeedbackPolicy] | None] = {"none": None, "archive": ArchivePolicy, "effects": EffectsPolicy}


def get_policy(name: str, seed: int = 0, size: str = "pocket", candidates: int = 16) -> Policy:
    """The policy of a search over so many candidates. Raises UsageError for an unknown name."""
    if name not in POLICIES:
        raise UsageError(f"unknown feedback `{name}`; lemur-caption has {', '.join(POLICIES)}")
    made = POLICIES[name]
    return IndependentPolicy() if made is None else made(seed, size, candidates)
