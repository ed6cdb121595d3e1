"""The closed loop: ask, check, train, learn, ask again, with the stages side by side and every step on record."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..candidate import Candidate, Outcome
from ..errors import LemurCaptionError
from ..generator.base import batch_size
from ..source.recipe import suggested
from ..strategies import Request
from . import baselines
from .duplicates import DuplicateFinder
from .executors import Task
from .feedback import failed_in_training
from .parts import Event, Parts
from .records import RunState, State
from .settings import Settings
from .stopping import Pruning
from .training import Training

if TYPE_CHECKING:
    from ..lemur.runner import TrialResult


class Search:
    """One run, from its first candidate or from where it was interrupted.

    The language model writes in one thread while the executor trains; records and LEMUR's store are written as
    things happen, so that a run that is killed at any moment goes on with `run` in a new Search of the same settings.
    """

    def __init__(self, run: int, settings: Settings, parts: Parts, report: Callable[[Event], None]) -> None:
        self.number, self.settings, self.parts, self.report = run, settings, parts, report
        self._changed = threading.Condition()
        self._ended: dict[int, Candidate] = {}
        self._asked = 0
        self._futures: list[Future[None]] = []
        self._stopping = threading.Event()
        self.aborted = threading.Event()
        self._failure: BaseException | None = None
        self.pruning = Pruning(settings.pruner)
        self._batch = batch_size(parts.generator)
        # Of two batches one is trained while the other is written.
        self.lag = max(settings.lag, 2 * self._batch if self._batch > 1 else 1)
        self._designs: dict[int, dict[str, Any]] = {}
        self._deadline = time.monotonic() + (settings.budget_seconds or float("inf"))

    @property
    def idle_workers(self) -> int:
        """How many of the executor's workers never have anything to do, since candidates wait for earlier ones."""
        return max(0, self.parts.executor.workers - self.lag) if self.parts.policy.learns else 0

    @property
    def ended(self) -> dict[int, Candidate]:
        """The candidates that have ended, by index; the baselines have indexes below 0."""
        with self._changed:
            return dict(self._ended)

    def stop(self) -> None:
        """Ask for no more candidates and begin no more trials; those under way are finished. For signal handlers too."""
        self._stopping.set()
        self.parts.executor.hold()

    def abort(self) -> None:
        """Stop at once: what is being trained is killed, and trained anew when the run is resumed."""
        self.aborted.set()
        self._stopping.set()
        self.parts.executor.cancel()

    def run(self) -> RunState:
        """Search until `n` candidates have ended, the budget is used up, or `stop` is called.

        Raises what was no candidate's fault, a full disk above all, after what was under way has ended. An exception that
        comes from elsewhere, such as a signal's, ends that too.
        """
        try:
            self._resume()
            self._train_baselines()
            if self._failure is None and not self._stopping.is_set():
                self._produce()
            wait(self._futures)
        except BaseException:
            self.abort()
            raise
        if self._failure is not None:
            raise self._failure
        asked = sum(index >= 0 for index in self._ended)
        complete = asked == self.settings.n or (time.monotonic() >= self._deadline and asked == self._asked)
        state = RunState.FINISHED if complete else RunState.STOPPED
        self.parts.records.finish_run(self.number, state)
        return state

    # --- from where the run was ---------------------------------------------------------------------------------------

    def _resume(self) -> None:
        for index, state, candidate in self.parts.records.candidates(self.number):
            if index >= 0:
                self._asked = max(self._asked, index + 1)
            self._note_design(index, candidate)
            if state is State.ENDED:
                self._ended[index] = candidate
                self.pruning.ended(index, candidate.epochs, len(candidate.epochs) < self.settings.epochs)
            elif len(candidate.epochs) == self.settings.epochs:
                # Killed while its hyperparameters were being tuned, or by an older version right before its end.
                Training(self, index, candidate, candidate.epochs).resume()
            elif index >= 0 and not self._stopping.is_set():
                self._submit(index, candidate)
        skip = getattr(self.parts.generator, "skip", None)
        if skip is not None:
            # A recording goes on after what has been taken from it.
            skip(sum(_responses(candidate) for index, candidate in self._everything() if index >= 0))

    def _everything(self) -> list[tuple[int, Candidate]]:
        return [(index, candidate) for index, _, candidate in self.parts.records.candidates(self.number)]

    # --- the baselines ------------------------------------------------------------------------------------------------

    def _train_baselines(self) -> None:
        for index, name in baselines.names(self.settings).items():
            if index not in self._ended and not self._stopping.is_set():
                source = self.parts.store.net_source(name)
                baseline = Candidate(name=name, family="hand-made", source=source, seed=self.settings.seed)
                baseline.design = baselines.design(self.settings, name)
                self._note_design(index, baseline)
                self._submit(index, baseline)
        wait(self._futures)

    def _baseline(self) -> tuple[str, str, float | None]:
        candidate = self._ended[-1]
        return candidate.name, candidate.source, candidate.epochs[-1].accuracy if candidate.epochs else None

    # --- asking -------------------------------------------------------------------------------------------------------

    def _produce(self) -> None:
        parts = self.parts
        known = parts.store.captioning_nets()
        every = self._everything()
        self._finder = DuplicateFinder(known, examine=lambda source: parts.check(source).fingerprint)
        for index, candidate in every:
            if index >= 0 and _was_sound(candidate):
                self._finder.add(candidate.name, candidate.source, candidate.fingerprint)
        names = {name for name, _ in known} | {c.name for _, c in every}
        try:
            made = parts.strategy(parts.generator, self._requests(), parts.pool, parts.check, known=names)
            for index, candidate in zip(itertools.count(self._asked), made, strict=False):
                self._take(index, candidate)
        except LemurCaptionError as error:
            self.fail(error)

    def _requests(self) -> Iterator[tuple[int, Request]]:
        settings = self.settings
        name, source, score = self._baseline()
        plain = Request(
            name,
            source,
            score,
            snippets=settings.snippets,
            size=settings.size,
            temperature=settings.temperature,
            seed=settings.seed,
            repairs=settings.repairs,
            answer_tokens=settings.answer_tokens,
        )
        for index in range(self._asked, settings.n):
            with self._changed:
                while not self._over() and not self._may_ask(index):
                    # The budget may run out while nothing changes.
                    self._changed.wait(1.0)
                if self._over():
                    return
                # The baselines have ended before anything is asked for.
                known = {i: c for i, c in self._ended.items() if i < 0 or i <= index - self.lag}
            yield index, self._learned(index, plain, known)

    def _may_ask(self, index: int) -> bool:
        if self.parts.policy.learns:
            return all(earlier in self._ended for earlier in range(index - self.lag + 1))
        # With nothing to learn from, a few ahead of the workers are enough.
        under_way = index - sum(earlier >= 0 for earlier in self._ended)
        return under_way < self.parts.executor.workers + self.lag

    def _over(self) -> bool:
        return self._stopping.is_set() or self._failure is not None or time.monotonic() >= self._deadline

    def _learned(self, index: int, plain: Request, known: dict[int, Candidate]) -> Request:
        """The request for candidate `index`, after what the candidates of `known` have taught."""
        # The first thing to learn from is the baseline that was asked for; the other one is for comparison alone.
        past = [(i, c) for i, c in sorted(known.items()) if i >= -1]
        # What is still in training is known by then in every run of these settings, save what a batch is about to bring.
        taken = [design for i, design in self._designs.items() if -1 <= i <= index - self._batch]
        plan = self.parts.policy.plan(index, past, taken)
        request = replace(plain, examples=plan.examples, avoid=plan.avoid, pinned=plan.pinned)
        if plan.parents:
            request = replace(request, parents=tuple(known[parent].name for parent in plan.parents))
        if plan.baseline is not None:
            name, source, score = plan.baseline
            request = replace(
                request, baseline_name=name, baseline_source=source, baseline_score=score, lineage=plain.baseline_name
            )
        return request

    def _note_design(self, index: int, candidate: Candidate) -> None:
        if candidate.design is not None:
            self._designs[index] = candidate.design

    def _take(self, index: int, candidate: Candidate) -> None:
        """A candidate from the strategy: on record, and on to its training where nothing speaks against it."""
        self._asked = index + 1
        self._note_design(index, candidate)
        if candidate.outcome is None:
            twin = self._finder.find(candidate.source, candidate.fingerprint)
            if twin is not None:
                candidate.end(Outcome.DUPLICATE, str(twin))
            else:
                self._finder.add(candidate.name, candidate.source, candidate.fingerprint)
        if candidate.outcome is not None:
            self.end(index, candidate)
            return
        self.parts.records.save(self.number, index, candidate, State.CHECKED)
        self.report(Event("checked", index, candidate))
        self._submit(index, candidate)

    # --- training -----------------------------------------------------------------------------------------------------

    def _submit(self, index: int, candidate: Candidate) -> None:
        from ..lemur.trial import TrialJob

        settings, chosen = self.settings, self._hyperparameters(index, candidate)
        job = TrialJob(
            source=candidate.source,
            dataset=settings.dataset,
            metric=settings.metric,
            transform=settings.transform,
            epochs=settings.epochs,
            batch=settings.batch,
            lr=chosen.get("lr", settings.lr),
            momentum=chosen.get("momentum", settings.momentum),
            seed=settings.seed,
            threads=settings.threads,
        )
        training = Training(self, index, candidate)
        task = Task(
            candidate.name,
            job,
            self.parts.data,
            baselines.timeout(settings, self.ended),
            training.tune if settings.tune else None,
        )
        future = self.parts.executor.submit(task, training.epoch)
        done: Future[None] = Future()
        self._futures.append(done)
        future.add_done_callback(lambda trained: training.finish(trained, done))

    def _hyperparameters(self, index: int, candidate: Candidate) -> dict[str, float]:
        """What the Net itself suggests: by its design, else in the docstrings of its code."""
        if candidate.design is not None:
            return {name: float(candidate.design[name]) for name in ("lr", "momentum") if name in candidate.design}
        return {} if index < 0 else suggested(candidate.source)

    def end(self, index: int, candidate: Candidate, result: TrialResult | None = None) -> None:
        self.parts.records.save(
            self.number,
            index,
            candidate,
            State.ENDED,
            quality=result.quality if result else None,
            samples=result.samples if result else None,
        )
        with self._changed:
            self._ended[index] = candidate
            self._changed.notify_all()
        self.report(Event("ended", index, candidate))

    def wake(self) -> None:
        """Have who waits for a candidate's end look again."""
        with self._changed:
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Keep the first thing that is not a Net's fault; the search stops for it."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
        self.parts.executor.hold()


def _was_sound(candidate: Candidate) -> bool:
    """Whether the contract let a recorded candidate pass, and no twin of it was found."""
    return candidate.outcome is None or candidate.outcome.success or failed_in_training(candidate)


def _responses(candidate: Candidate) -> int:
    """How many answers of the language model a candidate has taken."""
    return 1 + sum(not repair.note.startswith("not asked") for repair in candidate.repairs)
