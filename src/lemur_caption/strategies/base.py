"""What the strategies have in common: what is asked for, and who checks it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..candidate import Candidate
from ..contract import ContractReport
from ..generator.base import Generator
from ..prompt import encoder_families, family
from ..prompt.code_prompt import Template

Check = Callable[[str], ContractReport]
"""Holds a source against the contract."""


@dataclass(frozen=True)
class Request:
    """What a candidate is asked for. In a plain run all have the same; a search changes it with what it learns.

    `size` is the scale of the Nets: `pocket` or `full`. `exclude` names encoder families that no snippet comes
    from, by default the baseline's own. `repairs` is how often a Net that breaks the contract may go back to the model;
    `answer_tokens` the most that an answer may have, by default as many as the strategy needs.

    `lineage` is the baseline that names the family, where the Net to start from is another one. `parents` are the names
    of the Nets that the request was made from, `examples` what has trained well, a line and its score each, `avoid` what
    has gone wrong, `pinned` the fields of a design that are not the model's to choose, and `template` the words of the
    `code` strategy's prompt where they are not ours.
    """

    baseline_name: str
    baseline_source: str
    baseline_score: float | None = None
    snippets: int = 5
    size: str = "pocket"
    temperature: float = 0.8
    seed: int = 0
    exclude: tuple[str, ...] | None = None
    repairs: int = 2
    answer_tokens: int | None = None
    lineage: str = ""
    parents: tuple[str, ...] = ()
    examples: tuple[tuple[str, float], ...] = ()
    avoid: tuple[str, ...] = ()
    pinned: Mapping[str, Any] = field(default_factory=dict)
    template: Template | None = None

    def seed_of(self, index: int) -> int:
        """The seed of candidate `index`. It depends on nothing else, so a run can go on where another stopped."""
        return random.Random(f"{self.seed}/{index}").getrandbits(31)

    def every(self, start: int = 0) -> Iterator[tuple[int, Request]]:
        """This request for each candidate from `start` on, without end."""
        return ((index, self) for index in itertools.count(start))

    @property
    def family(self) -> str:
        """The prefix of the candidates' names, such as C5C-CaptionLSTM."""
        return family(self.snippets, self.lineage or self.baseline_name)

    @property
    def excluded(self) -> tuple[str, ...]:
        return encoder_families(self.baseline_source) if self.exclude is None else self.exclude


class Strategy(Protocol):
    """Makes a language model's answers into candidates."""

    def __call__(
        self,
        generator: Generator,
        requests: Iterable[tuple[int, Request]],
        pool: Sequence[tuple[str, str]],
        check: Check,
        known: Iterable[str] = (),
    ) -> Iterator[Candidate]:
        """A candidate for each request, in their order, each sound (`outcome` None) or ended.

        `requests` are taken as they are needed, as many at once as the generator likes to be asked together, each with
        its candidate's index. `pool` holds the classification Nets, (name, source) each, that snippets are drawn from;
        `known` the names of Nets that exist. A candidate depends on its request and its index alone, except that a Net
        which exists already, or has been a candidate before, ends as `duplicate`, and that of answers generated in one
        batch each may depend on the others (see the back end).
        """
        ...
