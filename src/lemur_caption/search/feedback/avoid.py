"""Lines that tell a language model what has gone wrong lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .plan import Finished, contract_errors

RECENT = 12
MOST_LINES = 5
LONGEST = 160


def avoid_lines(finished: Sequence[Finished]) -> tuple[str, ...]:
    """The hints of the contract's errors in the last RECENT candidates, one a rule: frequent ones first, then later ones."""
    counts: Counter[str] = Counter()
    hints: dict[str, str] = {}
    latest: dict[str, int] = {}
    for index, candidate in finished[-RECENT:]:
        for finding in contract_errors(candidate):
            rule = finding["rule"]
            counts[rule] += 1
            latest[rule] = index
            hints[rule] = " ".join(str(finding.get("hint") or finding.get("message", rule)).split())
    order = sorted(counts, key=lambda rule: (-counts[rule], -latest[rule], rule))
    return tuple(_shortened(hints[rule]) for rule in order[:MOST_LINES])


def _shortened(text: str) -> str:
    """The text, or as many whole words of it as LONGEST holds."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rpartition(" ")[0] + "…"
