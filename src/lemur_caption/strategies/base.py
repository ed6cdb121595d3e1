"""What the strategies have in common: what is asked for, who checks it, and how every candidate gets its seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..candidate import Candidate
from ..contract import ContractReport
from ..generator.base import Generator, Prompt

Check = Callable[[str], ContractReport]
"""Holds a source against the contract."""


@dataclass(frozen=True)
class Request:
    """What every candidate of one run has in common.

    `size` is the scale of the Nets: `pocket` or `full`. `exclude` names the baseline's own encoder families, which no
    snippet of the `code` strategy comes from. `repairs` is how often a Net that breaks the contract may go back to the model;
    `answer_tokens` the most that an answer may have, by default as many as the strategy needs.
    """

    baseline_name: str
    baseline_source: str
    baseline_score: float | None = None
    snippets: int = 5
    size: str = "pocket"
    temperature: float = 0.8
    seed: int = 0
    exclude: tuple[str, ...] = ("resnet",)
    repairs: int = 2
    answer_tokens: int | None = None

    def seed_of(self, index: int) -> int:
        """The seed of candidate `index`. It depends on nothing else, so a run can go on where another stopped."""
        return random.Random(f"{self.seed}/{index}").getrandbits(31)


class Strategy(Protocol):
    """Makes a language model's answers into candidates."""

    def __call__(
        self,
        generator: Generator,
        request: Request,
        pool: Sequence[tuple[str, str]],
        check: Check,
        known: Iterable[str] = (),
    ) -> Iterator[Candidate]:
        """Endless candidates, each sound (`outcome` None) or ended.

        `pool` holds the classification Nets, (name, source) each, that snippets are drawn from; `known` the names of
        Nets that exist. A candidate depends on the request and its index alone, except that a Net which exists
        already, or has been a candidate before, ends as `duplicate`.
        """
        ...


def full_text(prompt: Prompt) -> str:
    """A prompt as the trail keeps it."""
    return f"{prompt.system}\n\n{prompt.user}"
