"""From settings to a search that can run: opens what it needs, and says at the end what came of it."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import plugins
from ..contract.validator import ValidatorPool
from ..errors import UsageError
from ..generator import load
from ..strategies import get_strategy
from . import baselines
from .executors import Executor, LocalExecutor
from .feedback import get_policy
from .loop import Search
from .parts import Event, Parts
from .records import Records, RunState, State
from .settings import Settings
from .stopping import Pruning

if TYPE_CHECKING:
    from ..lemur.store import Store

EXECUTORS = ("local", "ray")


@dataclass
class Opened:
    """A run that is claimed by this process, and the parts that it works with. `before` are the indexes that had ended."""

    run: int
    settings: Settings
    parts: Parts
    started: float
    before: frozenset[int]

    @property
    def ended(self) -> int:
        """How many candidates had ended when the run was interrupted; 0 for a new run."""
        return sum(index >= 0 for index in self.before)

    def search(self, report: Callable[[Event], None]) -> Search:
        return Search(self.run, self.settings, self.parts, report)

    def summary(self, search: Search) -> dict[str, Any]:
        """What a person wants to know of a run at its end.

        `best` is the best generated Net's metric after the last epoch, None where none has trained; `overhead` the share of
        the workers' time in this session that went neither into epochs nor into LEMUR's code-quality pass, the contract's
        checks included.
        """
        settings, ended = self.settings, search.ended
        full = {i: c for i, c in sorted(ended.items()) if baselines.whole(settings, c)}
        best = max((c for i, c in full.items() if i >= 0), key=lambda c: c.epochs[-1].accuracy, default=None)
        seconds = time.monotonic() - self.started
        new = [c for i, c in ended.items() if i not in self.before]
        spent = sum(c.seconds.get("check", 0.0) + c.seconds.get("overhead", 0.0) for c in new)
        return {
            "run": self.run,
            "state": self.parts.records.run(self.run).state.value,
            "metric": settings.metric,
            "best": best.epochs[-1].accuracy if best else None,
            "best_net": best.name if best else None,
            "baselines": {c.name: c.epochs[-1].accuracy for i, c in full.items() if i < 0},
            "outcomes": dict(Counter(c.outcome.value for i, c in ended.items() if i >= 0 and c.outcome)),
            "seconds": seconds,
            "overhead": spent / (seconds * self.parts.executor.workers),
            "records": str(self.parts.records.path),
        }


def check(store: Store, settings: Settings, executor: str) -> None:
    """Say what is wrong with a search before anything has been done for it.

    Raises UsageError for unknown names and what does not go together, GeneratorError for a language model that is not
    installed.
    """
    from ..architecture.space import choices
    from ..lemur import runner

    runner.check_names(store, settings.dataset, settings.transform, settings.metric)
    store.net_source(settings.baseline)
    get_strategy(settings.strategy)
    choices(settings.size)
    get_policy(settings.feedback, settings.seed, settings.size, settings.n)
    Pruning(settings.pruner)
    load(settings.llm, plugins.generators())
    if executor not in EXECUTORS:
        raise UsageError(f"unknown executor '{executor}'; known: {', '.join(EXECUTORS)}")
    if settings.tune and executor != "local":
        raise UsageError(
            "--tune works on this machine alone; leave it out, and use `lemur-caption tune` on what is best"
        )
    if settings.tune and settings.batch & (settings.batch - 1):
        raise UsageError(f"LEMUR's Optuna trials have batches of a power of two, and the batch is {settings.batch}")


@contextlib.contextmanager
def opened(
    store: Store, settings: Settings, resume: str | None, executor: str, workers: int, *, take_over: bool = False
) -> Iterator[Opened]:
    """A new run of these settings, or an earlier one to `resume` by its own: its number, or `last`.

    The run is this process's alone as long as the context lasts, and is `failed` where it is left by an exception other than an
    interrupt.
    Raises UsageError for a run that does not exist or is finished and for tuning on other data than an earlier run, and
    StoreError where another process has the run, or may have it on another host; `take_over` takes it all the same.
    """
    started = time.monotonic()
    with Records.open(store.lemur.root) as records, contextlib.ExitStack() as stack:
        run = None if resume is None else _resumable(records, resume)
        if run is not None:
            settings = Settings.from_dict(dict(records.run(run).settings))
        check(store, settings, executor)
        _refuse_other_data(records, settings)
        from ..lemur import runner

        folder = runner.prepare_data(store, settings.dataset, Path(settings.data) if settings.data else None)
        policy = get_policy(settings.feedback, settings.seed, settings.size, settings.n)
        generator, strategy = load(settings.llm, plugins.generators()), get_strategy(settings.strategy)
        pool = store.snippet_pool(Path(settings.nets) if settings.nets else None)
        trials = stack.enter_context(contextlib.closing(_executor(executor, workers, settings.threads)))
        validators = stack.enter_context(ValidatorPool())
        if run is None:
            run = records.start_run(settings.to_dict())
        stack.enter_context(records.claim(run, "search", force=take_over))
        parts = Parts(store, records, generator, strategy, pool, validators.validate, trials, policy, str(folder))
        try:
            before = frozenset(index for index, state in records.states(run).items() if state is State.ENDED)
            yield Opened(run, settings, parts, started, before)
        except BaseException as error:
            records.finish_run(run, RunState.STOPPED if isinstance(error, KeyboardInterrupt) else RunState.FAILED)
            raise


def _refuse_other_data(records: Records, settings: Settings) -> None:
    """LEMUR's store does not say on whose folder a trial was made, and Optuna's trials are taken from there."""
    for run in records.runs() if settings.tune else ():
        theirs = run.settings.get
        if theirs("tune") and theirs("dataset") == settings.dataset and theirs("data") != settings.data:
            raise UsageError(
                f"run {run.id} has tuned on {theirs('data') or 'the data of LEMUR'}, and its trials would pass for those of "
                "other data; give another --root"
            )


def _resumable(records: Records, resume: str) -> int:
    if resume == "last":
        found = records.latest_unfinished()
        if found is None:
            raise UsageError("no run is unfinished; leave out --resume to start one")
        return found.id
    if not resume.isdecimal():
        raise UsageError(f"--resume is '{resume}'; give a run's number or `last`")
    run = records.run(int(resume))
    if run.state is RunState.FINISHED:
        raise UsageError(f"run {run.id} is finished; leave out --resume to start another")
    return run.id


def _executor(kind: str, workers: int, threads: int) -> Executor:
    if kind == "local":
        return LocalExecutor(workers, threads)
    from .executors.ray_cluster import RayExecutor

    return RayExecutor(workers, threads)
