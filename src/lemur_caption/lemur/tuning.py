"""Optuna trials of one Net through LEMUR's own entry point, `ab.nn.train`, in a sandboxed child process.

The entry point finds Nets, and leaves statistics, in the package folder. So the child works in a checkout of LEMUR
of its own: a scratch root that holds links to the installed `ab.nn` and the one Net. The parent reads the
`<epoch>.json` files there and puts each finished trial into the real store. As a program this module is the child.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..candidate import Epoch, Outcome
from ..errors import UsageError
from .child import Child, running
from .epoch_files import POLL_SECONDS, TamperedError, as_epoch, epoch_records
from .loading import TASK
from .runner import check_names, log_tail, prepare_data
from .store import Store
from .stored_trials import StoredTrial, stored_trials, trial_key

# What of the package folder the checkout has its own of, and what is nothing to import.
_OWN = ("nn", "stat", "__pycache__")


@dataclass
class TuneJob:
    """`trials` trials of `epochs` epochs. Learning rate and batch (a power of two) are drawn between their bounds,
    momentum and the like by LEMUR's defaults; `transforms` are those to choose from. `threads` 0 takes all cores."""

    name: str
    source: str
    dataset: str
    metric: str
    trials: int = 10
    epochs: int = 5
    transforms: tuple[str, ...] = ("norm_64",)
    lr: tuple[float, float] = (1e-5, 1.0)
    batch: tuple[int, int] = (1, 4096)
    seed: int = 0
    threads: int = 0
    epoch_limit_minutes: int = 30
    package: str = ""

    def __post_init__(self) -> None:
        for label, value in (("the Net's name", self.name), ("the dataset", self.dataset), ("the metric", self.metric)):
            if "_" in value:
                raise UsageError(f"{label} `{value}` has a `_`, at which LEMUR splits names; use one without")
        if not all(size > 0 and size & (size - 1) == 0 for size in self.batch):
            raise UsageError(
                f"LEMUR draws batches among powers of two; {self.batch[0]} to {self.batch[1]} are not both"
            )
        for label, (low, high) in (("learning rate", self.lr), ("batch", self.batch)):
            if not 0 < low <= high:
                raise UsageError(f"the bounds of the {label}, {low} and {high}, must be positive and in order")
        if self.lr[1] > 1:
            raise UsageError(f"LEMUR takes hyperparameters up to 1, and the learning rate may be {self.lr[1]}")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def configuration(self) -> str:
        """LEMUR's name of what is trained, and of the folder of its statistics."""
        return f"{TASK}_{self.dataset}_{self.metric}_{self.name}"


@dataclass
class Tuned:
    """What `tune` did: `present` trials were there before, `trials` are new, each its epochs in order.

    `detail` says why there are fewer than were asked for.
    """

    present: int
    trials: list[list[Epoch]] = field(default_factory=list)
    detail: str = ""


def tune(
    store: Store,
    job: TuneJob,
    *,
    data: Path | None = None,
    timeout_seconds: float | None = None,
    device: str | None = None,
    counts: Callable[[StoredTrial], bool] = lambda trial: True,
    on_trial: Callable[[list[Epoch]], object] = lambda epochs: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Tuned:
    """Train `job` until the store has `job.trials` trials of `job.epochs` epochs of it; each is stored as it ends.

    Of Optuna's whole trials that are there already, those count that `counts` says. `timeout_seconds` is for all of this
    call, `device` the GPU for it. Once `stopped`, what is under way is killed. A trial that fails is made up for as long as
    another one ends well. Raises UsageError for an unknown dataset, metric or transform, DatasetError, StoreError, and
    TrialError where the disk has no room.
    """
    for transform in job.transforms:
        check_names(store, job.dataset, transform, job.metric)
    folder = prepare_data(store, job.dataset, data)
    found = stored_trials(store, job.name, job.dataset, job.metric)
    tuned = Tuned(sum(trial.counts(job.epochs) and counts(trial) for trial in found))
    deadline = time.monotonic() + timeout_seconds if timeout_seconds else None

    def keep(epochs: list[Epoch]) -> None:
        for epoch in epochs:
            store.save_epoch(job.name, job.source, job.dataset, job.metric, epoch.epoch, epoch.prm)
        tuned.trials.append(epochs)
        on_trial(epochs)

    while (missing := job.trials - tuned.present - len(tuned.trials)) > 0:
        before = len(tuned.trials)
        # LEMUR begins a study anew each time: with the same seed it would draw again what was drawn before.
        seed = job.seed + len(found) + before
        part = TuneJob(**{**vars(job), "trials": missing, "seed": seed, "package": str(store.lemur.package)})
        left = max(deadline - time.monotonic(), 0.001) if deadline else None
        what = f"the tuning of {job.name}"
        with running(part, folder, left, what, program=__name__, device=device) as (scratch, child):
            try:
                tuned.detail = _follow(part, scratch, child, keep, stopped)
            except TamperedError as error:
                tuned.detail = f"the Net tampered with its trials: {error}"
                break
        if len(tuned.trials) == before or stopped() or (deadline and time.monotonic() > deadline):
            break
    else:
        tuned.detail = ""
    return tuned


def _follow(
    job: TuneJob, scratch: Path, child: Child, keep: Callable[[list[Epoch]], None], stopped: Callable[[], bool]
) -> str:
    """Hand on at most `job.trials` trials, each as its last epoch is written; returns how the child ended."""
    folder = scratch / "ab" / "nn" / "stat" / "train" / job.configuration
    seen: set[str] = set()
    while True:
        ended = child.ended
        files = [epoch_records(folder / f"{number}.json") for number in range(1, job.epochs + 1)]
        by_key = [{trial_key(record): record for record in reversed(file or [])} for file in files]
        # A file of an earlier epoch may have been written since it was read; the next round sees it.
        for key in by_key[-1]:
            if key not in seen and all(key in epoch for epoch in by_key) and len(seen) < job.trials:
                seen.add(key)
                keep([as_epoch(number, epoch[key]) for number, epoch in enumerate(by_key, 1)])
        if ended:
            break
        if stopped():
            return "it was stopped"
        time.sleep(POLL_SECONDS)
    finished = child.wait()
    told = _complaint(log_tail(scratch))
    if finished.outcome is Outcome.TIMEOUT:
        return "its time was over"
    if finished.outcome is not None:
        told = f": {told}" if told else ""
        return f"the process ended by {finished.ending['reason']} {finished.ending['code']}{told}"
    return told


def _complaint(log: str) -> str:
    """LEMUR goes on after a failed trial, and says why only in what it prints."""
    lines = [
        line for line in log.splitlines() if "failed to train. Error: " in line or line.startswith("Estimated training")
    ]
    return " ".join(lines[-1].split())[:300] if lines else ""


def _check_out(root: Path, job: TuneJob) -> None:
    """Make `root` a checkout of LEMUR that has this one Net."""
    inner = root / "ab" / "nn"
    (inner / "nn").mkdir(parents=True)
    package = Path(job.package)
    # A folder without this file would stand behind the installed package.
    (root / "ab" / "__init__.py").touch()
    (inner / "nn" / "__init__.py").touch()
    for entry in package.iterdir():
        if entry.name not in _OWN:
            (inner / entry.name).symlink_to(entry)
    (inner / "nn" / f"{job.name}.py").write_text(job.source, encoding="utf-8")


def _train(job: TuneJob) -> None:
    """What `python -m ab.nn.train` does, in the working directory."""
    _check_out(Path.cwd(), job)
    importlib.invalidate_caches()
    from ab.nn.util.db.Init import init_db

    # Without a database the next import would download one.
    init_db()
    import numpy
    import optuna
    import torch
    from ab.nn.train import main as lemur_train

    random.seed(job.seed)
    numpy.random.seed(job.seed % 2**32)
    torch.manual_seed(job.seed)
    if job.threads:
        torch.set_num_threads(job.threads)
    # LEMUR's study has a sampler of Optuna's choice without a seed; this is the same sampler with one.
    sampler = optuna.samplers.TPESampler(seed=job.seed % 2**32)
    optuna.create_study = functools.partial(optuna.create_study, sampler=sampler)
    lemur_train(
        job.configuration,
        epoch_max=job.epochs,
        n_optuna_trials=-job.trials,
        min_learning_rate=job.lr[0],
        max_learning_rate=job.lr[1],
        min_batch_binary_power=job.batch[0].bit_length() - 1,
        max_batch_binary_power=job.batch[1].bit_length() - 1,
        transform=tuple(job.transforms),
        epoch_limit_minutes=job.epoch_limit_minutes,
    )


def main(path: Path) -> None:
    """Do the job that the file describes, and end this process."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    _train(TuneJob(**told))
    # A Net may have left threads that never end.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
