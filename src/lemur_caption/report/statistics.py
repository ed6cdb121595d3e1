"""The statistics that the tables need, each with its source."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

# The standard normal's quantile for an interval that covers 95 %.
Z95 = 1.959963984540054


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float] | None:
    """The score interval of a proportion; None without trials.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927): with
    p = successes / n, centre (p + z^2 / 2n) / (1 + z^2 / n) and half width
    z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n).
    """
    if trials == 0:
        return None
    share, square = successes / trials, z * z
    centre = share + square / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    scale = 1 + square / trials
    # At the ends the bound is exact; rounding must not move it past them.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return low, high


def superiority(group: Sequence[float], others: Sequence[float]) -> float | None:
    """How often a value of `group` is above one of `others`, ties counted half: 0.5 is no difference; None if one is empty.

    Vargha and Delaney's A, the Mann-Whitney U over the number of pairs (J. Educ. Behav. Stat. 25, 2000).
    """
    if not group or not others:
        return None
    ordered = sorted(others)
    # Those below, and half of those that are equal.
    wins = sum((bisect_left(ordered, mine) + bisect_right(ordered, mine)) / 2 for mine in group)
    return wins / (len(group) * len(others))


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean; None of nothing."""
    return sum(values) / len(values) if values else None


def median(values: Sequence[float]) -> float | None:
    """The middle value, or the mean of the two middle ones; None of nothing."""
    if not values:
        return None
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2
