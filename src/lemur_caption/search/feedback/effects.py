"""Which values of a design's fields go with high scores: a Bayesian ridge regression over one-hot fields.

score = mean + the sum of the effects of a design's values + noise, every effect a priori normal around 0. One draw from the
posterior (Thompson sampling) favours values that did well, and those of which little is known.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

# In units of the scores' standard deviation: how large one value's effect may be, and what two trainings of one design
# differ by.
EFFECT, NOISE = 0.3, 0.3


def draw_effects(
    designs: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
    fields: Mapping[str, Sequence[Any]],
    rng: random.Random,
) -> dict[str, dict[Any, float]]:
    """An effect for every value of every field, drawn from what is believed after these scores, in their standard deviations."""
    import numpy as np

    columns = [(name, value) for name, values in fields.items() for value in values]
    seen = np.array([[float(design[name] == value) for name, value in columns] for design in designs])
    seen = seen.reshape(len(designs), len(columns))
    target = np.array(scores, dtype=float)
    if len(target):
        target = (target - target.mean()) / (target.std() or 1.0)
    precision = seen.T @ seen / NOISE**2 + np.eye(len(columns)) / EFFECT**2
    mean = np.linalg.solve(precision, seen.T @ target / NOISE**2)
    # With precision = L L^T, noise from the standard normal times L^-T has the posterior's covariance.
    noise = np.array([rng.gauss(0, 1) for _ in columns])
    drawn = mean + np.linalg.solve(np.linalg.cholesky(precision).T, noise)
    effects: dict[str, dict[Any, float]] = {name: {} for name in fields}
    for (name, value), effect in zip(columns, drawn, strict=True):
        effects[name][value] = float(effect)
    return effects
