"""One candidate's way through its training: epochs as they end, more trials where they are asked for, and its outcome."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING

from ..candidate import Candidate, Epoch, Outcome
from . import baselines
from .parts import Event
from .records import State
from .stopping import Stop, gone_wrong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..lemur.runner import TrialResult
    from .loop import Search

# Between these Optuna draws learning rates; LEMUR's own bounds, 1e-5 and 1, let few trials of a few epochs learn.
LEARNING_RATES = (1e-4, 1e-2)


class Training:
    """What the executor's threads call for one candidate. `epochs` are those of a trial that is over already."""

    def __init__(self, search: Search, index: int, candidate: Candidate, epochs: Sequence[Epoch] = ()) -> None:
        self._search, self._index, self._candidate = search, index, candidate
        # What an interrupted trial had measured is on record; this one begins anew.
        candidate.epochs = list(epochs)
        self._stop: Stop | None = None

    def epoch(self, epoch: Epoch) -> bool:
        """Keep an epoch; True where it is to be the last.

        The last of all is kept by `_take_over`, with what is known of the Net at its trial's end: a run that is killed in
        between trains the Net anew, and knows as much of it as a run that was not.
        """
        search, candidate, settings = self._search, self._candidate, self._search.settings
        candidate.epochs.append(epoch)
        if epoch.epoch < settings.epochs:
            self._store(epoch)
            search.parts.records.save(search.number, self._index, candidate, State.TRAINING)
        search.report(Event("epoch", self._index, candidate, epoch))
        self._stop = gone_wrong(candidate.epochs)
        if self._stop is None and self._index >= 0:
            self._stop = search.pruning.report(self._index, epoch)
        return self._stop is not None and epoch.epoch < settings.epochs

    def _store(self, epoch: Epoch) -> None:
        """Put an epoch into LEMUR's store, unless a run that was killed before it was on record has done so."""
        settings, candidate, store = self._search.settings, self._candidate, self._search.parts.store
        name, dataset, metric = candidate.name, settings.dataset, settings.metric
        if not store.has_epoch(name, dataset, metric, epoch.epoch, epoch.prm):
            store.save_epoch(name, candidate.source, dataset, metric, epoch.epoch, epoch.prm)

    def tune(self, result: TrialResult, device: str | None) -> TrialResult:
        """The best of a Net's trials, once Optuna's have been made too; a Net that has not trained gets none."""
        search, candidate = self._search, self._candidate
        exploded = self._stop is not None and not self._stop.outcome.success
        if result.outcome is not Outcome.TRAINED or exploded or len(result.epochs) < search.settings.epochs:
            return result
        # What is known by now must not be lost where the tuning, which takes long, is interrupted.
        self._take_over(result)
        search.parts.records.save(
            search.number, self._index, candidate, State.TRAINING, quality=result.quality, samples=result.samples
        )
        started = time.monotonic()
        result.epochs, missing = self._tuned(result.epochs, device)
        result.detail = "; ".join(filter(None, (result.detail, missing)))
        result.stages["tuning"] = time.monotonic() - started
        result.seconds += result.stages["tuning"]
        return result

    def _tuned(self, epochs: list[Epoch], device: str | None) -> tuple[list[Epoch], str]:
        from ..lemur.epoch_files import as_epoch
        from ..lemur.stored_trials import StoredTrial, stored_trials
        from ..lemur.tuning import TuneJob, tune

        search, settings, name = self._search, self._search.settings, self._candidate.name
        store = search.parts.store

        def ours(trial: StoredTrial) -> bool:
            """Whether a trial has this search's budget; one that another search made serves as well."""
            chosen = trial.hyperparameters
            return (chosen.get("transform"), chosen.get("batch")) == (settings.transform, settings.batch)

        job = TuneJob(
            name=name,
            source=self._candidate.source,
            dataset=settings.dataset,
            metric=settings.metric,
            trials=settings.tune,
            epochs=settings.epochs,
            transforms=(settings.transform,),
            lr=LEARNING_RATES,
            batch=(settings.batch, settings.batch),
            seed=settings.seed,
            threads=settings.threads,
        )
        tuned = tune(
            store,
            job,
            data=Path(search.parts.data),
            timeout_seconds=baselines.timeout(settings, search.ended) * settings.tune,
            device=device,
            counts=ours,
            stopped=search.aborted.is_set,
        )
        numbers = range(1, settings.epochs + 1)
        # Those of an interrupted run are in the store alone.
        stored = stored_trials(store, name, settings.dataset, settings.metric)
        whole = [trial for trial in stored if trial.counts(settings.epochs) and ours(trial)]
        trials = [[as_epoch(number, trial.epochs[number]) for number in numbers] for trial in whole]
        best = max([epochs, *trials], key=lambda trial: trial[-1].accuracy)
        missing = f"{len(trials)} of {settings.tune} Optuna trials: {tuned.detail}" if tuned.detail else ""
        return best, missing

    def resume(self) -> None:
        """Bring a candidate to its end whose trial was over when the run was interrupted."""
        search, candidate = self._search, self._candidate
        outcome, detail = Outcome.TRAINED, ""
        wrong = gone_wrong(candidate.epochs)
        if wrong is not None and not wrong.outcome.success:
            outcome, detail = wrong.outcome, wrong.reason
        elif search.settings.tune:
            candidate.epochs, detail = self._tuned(candidate.epochs, None)
            if search.aborted.is_set():
                return
        self._end(outcome, detail, candidate.epochs)
        search.end(self._index, candidate)

    def finish(self, trained: Future[TrialResult], done: Future[None]) -> None:
        """Take over how the trial ended."""
        search = self._search
        try:
            result = trained.result()
            self._conclude(result)
            search.end(self._index, self._candidate, result)
        except CancelledError:
            search.stop()
        except BaseException as error:  # noqa: BLE001  # a thread's exception is raised again by `run`
            search.fail(error)
        finally:
            search.wake()
            done.set_result(None)

    def _conclude(self, result: TrialResult) -> None:
        self._take_over(result)
        outcome, detail = result.outcome, result.detail
        short = len(result.epochs) < self._search.settings.epochs
        # A Net that explodes in its last epoch has not trained, though nothing had to be stopped.
        if self._stop is not None and (short or not self._stop.outcome.success):
            outcome, detail = self._stop.outcome, self._stop.reason
        self._end(outcome, detail, result.epochs)

    def _take_over(self, result: TrialResult) -> None:
        """The last epoch, and what the trial told of the Net beside its epochs."""
        candidate = self._candidate
        for epoch in result.epochs[self._search.settings.epochs - 1 :]:
            self._store(epoch)
        candidate.parameters, candidate.flops, candidate.parts = result.parameters, result.flops, result.parts
        candidate.seconds |= result.stages
        if result.stages:
            candidate.seconds["overhead"] = result.seconds - sum(result.stages.values())

    def _end(self, outcome: Outcome, detail: str, epochs: list[Epoch]) -> None:
        search = self._search
        whole = len(epochs) == search.settings.epochs
        baseline = baselines.best(search.settings, search.ended) if whole and self._index >= 0 else None
        self._candidate.finish(outcome, detail, epochs, baseline)
        search.pruning.ended(self._index, epochs, not whole)
