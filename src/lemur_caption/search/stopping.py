"""When a trial is not worth its remaining epochs: one that goes wrong by itself, and one that others leave behind."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..candidate import Epoch, Outcome
from ..errors import UsageError

if TYPE_CHECKING:
    import optuna

# A training loss this many times the first epoch's is on its way to infinity.
EXPLOSION = 3.0
# Epochs after which a Net must have learned something: some metric, or a training loss this much lower.
PATIENCE = 2
LEARNED = 0.01
PRUNERS = ("none", "median", "halving")


@dataclass(frozen=True)
class Stop:
    """Why a trial ends before its last epoch, and as what."""

    outcome: Outcome
    reason: str


def gone_wrong(epochs: Sequence[Epoch]) -> Stop | None:
    """Whether the epochs so far say that the rest is wasted: a loss that is not finite, explodes or does not move."""
    first, last = epochs[0], epochs[-1]
    # LEMUR writes NaN and infinity as null.
    if last.train_loss is None or not math.isfinite(last.train_loss):
        return Stop(Outcome.DIVERGED, f"the training loss of epoch {last.epoch} is not finite")
    if first.train_loss is None:
        return None
    if last.train_loss > EXPLOSION * first.train_loss:
        return Stop(
            Outcome.DIVERGED,
            f"the training loss grew from {first.train_loss:.3g} to {last.train_loss:.3g} by epoch {last.epoch}",
        )
    still = last.train_loss > (1 - LEARNED) * first.train_loss
    if len(epochs) >= PATIENCE and still and max(epoch.accuracy for epoch in epochs) == 0:
        return Stop(Outcome.TRAINED, f"stopped after epoch {last.epoch}: it does not learn")
    return None


class Pruning:
    """Optuna's pruners over the candidates of one run, on the metric of each epoch. Safe from several threads.

    `median`: a trial that is worse than the median of the earlier ones at the same epoch stops, once four have ended (the
    baselines are the first two).
    `halving`: successive halving (Jamieson & Talwalkar 2016, as Optuna's asynchronous variant). `none` stops nothing.
    """

    def __init__(self, pruner: str) -> None:
        if pruner not in PRUNERS:
            raise UsageError(f"unknown pruner '{pruner}'; known: {', '.join(PRUNERS)}")
        self._kind = pruner
        self._lock = threading.Lock()
        self._study: optuna.Study | None = None
        self._trials: dict[int, optuna.Trial] = {}

    def _running(self, index: int) -> optuna.Trial:
        import optuna

        if self._study is None:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            pruner: optuna.pruners.BasePruner = (
                optuna.pruners.MedianPruner(n_startup_trials=4)
                if self._kind == "median"
                else optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
            )
            self._study = optuna.create_study(direction="maximize", pruner=pruner)
        if index not in self._trials:
            self._trials[index] = self._study.ask()
        return self._trials[index]

    def report(self, index: int, epoch: Epoch) -> Stop | None:
        """Take note of an epoch of candidate `index`; whether it should be the last."""
        if self._kind == "none":
            return None
        with self._lock:
            trial = self._running(index)
            trial.report(epoch.accuracy, epoch.epoch)
            if trial.should_prune():
                return Stop(Outcome.TRAINED, f"stopped after epoch {epoch.epoch} by the {self._kind} rule")
        return None

    def ended(self, index: int, epochs: Sequence[Epoch], stopped: bool) -> None:
        """Take note of a trial's end; of one from before a resumption with all its epochs."""
        if self._kind == "none" or not epochs:
            return
        import optuna

        with self._lock:
            followed = index in self._trials
            trial = self._running(index)
            for epoch in epochs if not followed else ():
                trial.report(epoch.accuracy, epoch.epoch)
            state = optuna.trial.TrialState.PRUNED if stopped else optuna.trial.TrialState.COMPLETE
            assert self._study is not None
            self._study.tell(trial, None if stopped else epochs[-1].accuracy, state=state)
