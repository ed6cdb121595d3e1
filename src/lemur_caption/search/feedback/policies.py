"""The policies that `--feedback` names."""

from __future__ import annotations

import math
import random
import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ...candidate import Candidate
from ...errors import UsageError
from .archive import Elite, elites
from .avoid import avoid_lines
from .effects import draw_effects
from .plan import Baseline, Finished, Plan, Policy, failed_in_training, score

EXAMPLES = 3
# Fields that `archive` leaves to the language model.
MOST_OPEN = 2
# How often `effects` draws a step anew that leads to a design which there is already.
DRAWS = 50
# How many times as likely, as a power of e, a parent is that is one standard deviation of the scores better than another.
GREED = 4.0


class IndependentPolicy:
    """The paper's sampling: every candidate is asked for in the same way, whatever the others came to."""

    learns = False

    def plan(self, index: int, finished: Iterable[Finished], taken: Iterable[Mapping[str, Any]] = ()) -> Plan:
        return Plan(exploration=True)


@dataclass(frozen=True)
class FeedbackPolicy(ABC):
    """Explores at times, and otherwise builds on what has trained best; a search begins with its baseline.

    The share of exploration falls along half a cosine from `most` to `least` in the middle of the `candidates`, and
    stays there. `size` is that of the designs. Raises UsageError for numbers that make no schedule.
    """

    learns: ClassVar[bool] = True
    seed: int = 0
    size: str = "pocket"
    candidates: int = 16
    most: float = 0.25
    least: float = 0.05

    def __post_init__(self) -> None:
        if self.candidates < 1 or not 0 <= self.least <= self.most <= 1:
            raise UsageError(
                f"a schedule needs 1 candidate or more, and shares in [0, 1] that fall, not {self.candidates}, "
                f"{self.most} and {self.least}"
            )

    def share(self, index: int) -> float:
        """How likely candidate `index` is an exploration."""
        done = min(2 * index / self.candidates, 1.0)
        return self.least + (self.most - self.least) * (1 + math.cos(math.pi * done)) / 2

    def plan(self, index: int, finished: Iterable[Finished], taken: Iterable[Mapping[str, Any]] = ()) -> Plan:
        """See `Policy`. Where nothing has trained there is nothing to build on."""
        rng = random.Random(f"feedback/{self.seed}/{index}")
        past = sorted(finished, key=lambda item: item[0])
        best = elites(past)
        if rng.random() < self.share(index) or not best:
            return Plan(exploration=True, avoid=avoid_lines(past))
        parent = _by_score(best, past, rng)
        plan = Plan(
            exploration=False,
            parents=(parent.index,),
            baseline=Baseline(parent.candidate.name, parent.candidate.source, parent.score),
            examples=tuple((_in_words(elite.candidate), elite.score) for elite in best[:EXAMPLES]),
            avoid=avoid_lines(past),
        )
        if parent.candidate.design is None:
            return plan
        known = [_complete(design) for design in taken]
        return replace(plan, pinned=self.step(_complete(parent.candidate.design), past, known, rng))

    @abstractmethod
    def step(
        self,
        start: Mapping[str, Any],
        past: Sequence[Finished],
        known: Sequence[Mapping[str, Any]],
        rng: random.Random,
    ) -> dict[str, Any]:
        """The fields of the next design that are settled, given the parent's design; the model chooses the others."""

    @property
    def fields(self) -> dict[str, tuple[Any, ...]]:
        """The fields in which designs of this size differ, with their values."""
        from ...architecture.space import choices

        return {name: values for name, values in choices(self.size).items() if len(values) > 1}


class ArchivePolicy(FeedbackPolicy):
    """Keeps a parent's design but for one or two fields, which the language model chooses anew."""

    def step(
        self,
        start: Mapping[str, Any],
        past: Sequence[Finished],
        known: Sequence[Mapping[str, Any]],
        rng: random.Random,
    ) -> dict[str, Any]:
        free = rng.sample(list(self.fields), rng.randint(1, MOST_OPEN))
        return {name: value for name, value in start.items() if name not in free}


class EffectsPolicy(FeedbackPolicy):
    """Changes a parent's design in the field that promises most, and offers the model a second change, to take or to leave.

    The promise is a draw from a model of the scores (see `effects`), which learns from every design that trained, and from
    those that failed in training as if they had reached the worst score. What leads to a known design is drawn anew.
    Small steps did best in simulations on some hundred designs that had been trained.
    """

    def step(
        self,
        start: Mapping[str, Any],
        past: Sequence[Finished],
        known: Sequence[Mapping[str, Any]],
        rng: random.Random,
    ) -> dict[str, Any]:
        designs, scores = _experience(past, self.size)
        for _ in range(DRAWS):
            effects = draw_effects(designs, scores, self.fields, rng)
            best = {name: max(values, key=values.__getitem__) for name, values in effects.items()}
            gains = {name: values[best[name]] - values[start[name]] for name, values in effects.items()}
            first, second = sorted(gains, key=lambda name: -gains[name])[:2]
            changed = {**start, first: best[first]}
            # A change of a field that means nothing beside the others is none: `_complete` undoes it.
            settled = {name: value for name, value in _complete(changed).items() if name != second}
            if not any(settled.items() <= design.items() for design in known):
                break
        return {**changed, second: tuple(dict.fromkeys((start[second], best[second])))}


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


def _complete(design: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded design with the fields that designs have had since, normalized."""
    from ...architecture import Design

    return Design.model_validate(design).model_dump(mode="json")


def _by_score(best: Sequence[Elite], past: Sequence[Finished], rng: random.Random) -> Elite:
    """A parent by a softmax of the scores; see GREED."""
    reached = [value for _, candidate in past if (value := score(candidate)) is not None]
    spread = statistics.pstdev(reached) or 1.0
    return rng.choices(best, weights=[math.exp(GREED * (elite.score - best[0].score) / spread) for elite in best])[0]


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
