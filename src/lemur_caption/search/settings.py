"""What defines a search. A run keeps its settings, and goes on with them when it is resumed."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Settings:
    """The settings of a run; how many workers train, and where, is not among them.

    `n` candidates are asked for, each trained for `epochs`. `lag`: candidate i is asked for when all up to i - lag have
    ended (a model that likes batches has a lag of at least two), and learns from those alone, so the same settings give
    the same candidates however many workers train.
    `budget_seconds` ends the search early; `timeout_seconds` bounds one trial, by default ten times the slower baseline.
    `tune` trials with hyperparameters that Optuna draws follow each Net's first, and the best trial counts.
    `data`, `nets`: see the command line's options of that name.
    """

    llm: str = "smollm2"
    strategy: str = "design"
    snippets: int = 5
    n: int = 24
    epochs: int = 3
    baseline: str = "CaptionLSTM"
    dataset: str = "shapes"
    data: str | None = None
    metric: str = "bleu-4"
    transform: str = "norm_64"
    batch: int = 32
    lr: float = 1e-3
    momentum: float = 0.9
    seed: int = 0
    size: str = "pocket"
    temperature: float = 0.8
    repairs: int = 2
    answer_tokens: int | None = None
    nets: str | None = None
    tune: int = 0
    feedback: str = "effects"
    lag: int = 4
    pruner: str = "none"
    threads: int = 1
    budget_seconds: float | None = None
    timeout_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("n", "epochs", "batch", "lag", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give 1 or more")
        for name in ("snippets", "seed", "temperature", "repairs", "tune"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 or more")
        for name in ("budget_seconds", "timeout_seconds"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise UsageError(f"{name} is {value}; give more than 0 seconds")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """From a run's record. Raises UsageError for one that another version wrote with settings unknown here."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise UsageError(f"the run has settings that this lemur-caption does not know: {', '.join(unknown)}")
        return cls(**values)


def parse_budget(text: str) -> float | int:
    """`90s`, `30m`, `2h` or `1d` as seconds (float), `24` as a number of candidates (int). Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None or float(match[1]) == 0 or (not match[2] and "." in match[1]):
        raise UsageError(f"the budget is '{text}'; give a time such as 90s, 30m or 2h, or a number of candidates")
    return float(match[1]) * _UNITS[match[2]] if match[2] else int(match[1])
