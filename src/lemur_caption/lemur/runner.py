"""Training one Net with LEMUR's runner in a sandboxed child process, and storing what it measured.

The parent never executes the Net's code. It starts `trial` in a scratch root, reads LEMUR's epoch
files as they appear, and puts each finished epoch into the real store with LEMUR's own writer.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..candidate import Epoch, Outcome
from ..contract import sandbox
from ..dataset import coco
from ..errors import DISK_ERRORS, DatasetError, StoreError, TrialError, UsageError
from . import structure, weights
from .child import Child, running
from .epoch_files import POLL_SECONDS, TamperedError, as_epoch, epoch_records
from .loading import FOLDERS, dataset_folder
from .store import Store
from .trial import TrialJob
from .trial_slot import TrialSlot

# How much of what a Net says is kept, in characters, and how much a child may leave for us, in bytes.
LONGEST = 2000
_MOST_BYTES = 16 << 20


@dataclass
class TrialResult:
    """How a trial ended. `samples` holds captions of the trained Net: image, caption, reference.

    `flops` and `parts` are what `structure` reads from a run of the trained Net; None where it could not, and `detail` says
    why.
    `protections` says which of the sandbox's walls stood, `weights` where the trained weights are kept; `seconds` is all
    that the trial took; `stages` says, of a Net that has trained, what of it LEMUR's rating of the code (`quality`) took and
    what `training` with its evaluations.
    """

    outcome: Outcome
    detail: str = ""
    epochs: list[Epoch] = field(default_factory=list)
    parameters: int | None = None
    flops: int | None = None
    parts: dict[str, Any] | None = None
    quality: float | None = None
    samples: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    protections: dict[str, bool | str] = field(default_factory=dict)
    weights: str | None = None
    stages: dict[str, float] = field(default_factory=dict)


def train(
    store: Store,
    job: TrialJob,
    *,
    name: str,
    data: Path | None = None,
    timeout_seconds: float | None = None,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
) -> TrialResult:
    """Train `job` and store each epoch under `name`. A Net that fails is a result, not an exception.

    `data` replaces the dataset's own folder. Raises UsageError for an unknown dataset, metric or
    transform, StoreError when LEMUR's store cannot be written, and what `run_trial` raises. Stored epochs stay, whatever
    happens.
    """
    check_names(store, job.dataset, job.transform, job.metric)
    folder = prepare_data(store, job.dataset, data)

    def keep(epoch: Epoch) -> bool:
        store.save_epoch(name, job.source, job.dataset, job.metric, epoch.epoch, epoch.prm)
        on_epoch(epoch)
        return False

    def keep_weights(scratch: Path) -> str:
        return str(weights.keep(store.lemur.root, name, job, folder, scratch))

    return run_trial(
        job,
        folder,
        what=f"the trial of {name}",
        timeout_seconds=timeout_seconds,
        on_epoch=keep,
        keep_weights=keep_weights if job.keep_weights else None,
    )


def run_trial(
    job: TrialJob,
    data: Path,
    *,
    what: str,
    timeout_seconds: float | None = None,
    on_epoch: Callable[[Epoch], bool],
    keep_weights: Callable[[Path], str] | None = None,
    slot: TrialSlot | None = None,
) -> TrialResult:
    """Train `job` on the folder `data` in a sandboxed child and store nothing; `what` names the trial in messages.

    `on_epoch` is called as epochs end and may end the trial by returning True: the result then has the outcome
    `trained` and fewer epochs. `keep_weights` is given the scratch folder of a Net that has trained. With a `slot` the
    child is forked from its server. Raises DatasetError for unusable data and TrialError when the child
    could not do its work for another reason that is not the Net's (a full disk); what a callback raises passes through.
    Whatever happens the child's whole process group is gone afterwards.
    """
    started = time.monotonic()
    with running(job, data, timeout_seconds, what, slot=slot) as (scratch, child):
        epochs: list[Epoch] = []
        try:
            if _follow(job, scratch, child, epochs, on_epoch):
                result = TrialResult(Outcome.TRAINED, f"stopped after epoch {len(epochs)}", epochs)
            else:
                result = _conclude(scratch, child.wait(), epochs, job)
                if keep_weights is not None and result.outcome is Outcome.TRAINED:
                    result.weights = keep_weights(scratch)
        except (TamperedError, weights.NotPlainError) as error:
            result = TrialResult(Outcome.RUNTIME_ERROR, f"the Net tampered with its trial: {error}", epochs)
    result.seconds = time.monotonic() - started
    if slot is not None and result.stages:
        result.stages["quality"] += slot.rating_seconds()
    return result


def check_names(store: Store, dataset: str, transform: str | None = None, metric: str | None = None) -> None:
    """Raise UsageError for a dataset, transform or metric (several with commas) that LEMUR does not have."""
    if dataset not in FOLDERS:
        raise UsageError(f"unknown dataset `{dataset}`; lemur-caption has {', '.join(FOLDERS)}")
    for name in metric.split(",") if metric is not None else ():
        store.materialize("metric", name.strip())
    if transform is not None:
        store.materialize("transform", transform)


def prepare_data(store: Store, dataset: str, data: Path | None) -> Path:
    """The data folder of a trial, whole before the Net runs: the sandbox lets nobody write there."""
    folder = dataset_folder(dataset, store.lemur.data, data, render=lambda done: None)
    coco.prepare_captions(folder)
    return folder


def _follow(job: TrialJob, scratch: Path, child: Child, epochs: list[Epoch], on_epoch: Callable[[Epoch], bool]) -> bool:
    """Hand on epochs as LEMUR finishes them and add them to `epochs`, until the child ends; True where one was to be the last."""
    while True:
        ended = child.ended
        while len(epochs) < job.epochs and (record := _epoch_record(scratch, len(epochs) + 1, job)) is not None:
            epoch = as_epoch(len(epochs) + 1, record)
            epochs.append(epoch)
            if on_epoch(epoch) and len(epochs) < job.epochs:
                return True
        if ended:
            return False
        time.sleep(POLL_SECONDS)


def _epoch_record(scratch: Path, epoch: int, job: TrialJob) -> dict[str, Any] | None:
    """LEMUR's record of an epoch, or None while its file is missing or half-written. Raises TamperedError."""
    trials = epoch_records(scratch / "stat" / f"{epoch}.json")
    if trials is None:
        return None
    numbers = (trials[0].get(name) for name in ("lr", "momentum", "batch"))
    # LEMUR's writer opens the transform's file by this name.
    if trials[0].get("transform") != job.transform or not all(isinstance(number, (int, float)) for number in numbers):
        raise TamperedError(f"epoch {epoch} tells of other hyperparameters than it was given")
    return trials[0]


def _conclude(scratch: Path, finished: sandbox.Finished, epochs: list[Epoch], job: TrialJob) -> TrialResult:
    result = _outcome(scratch, finished, epochs, job)
    result.protections = finished.protections
    return result


def _outcome(scratch: Path, finished: sandbox.Finished, epochs: list[Epoch], job: TrialJob) -> TrialResult:
    path = scratch / "result.json"
    if finished.outcome is Outcome.TIMEOUT:
        return TrialResult(Outcome.TIMEOUT, f"stopped after {len(epochs)} of {job.epochs} epochs", epochs)
    if not os.path.lexists(path):
        ending = f"{finished.ending['reason']} {finished.ending['code']}"
        return TrialResult(
            finished.outcome or Outcome.RUNTIME_ERROR, f"the process ended by {ending}: {_last_line(scratch)}", epochs
        )
    try:
        result = _left(path)
        if result["error"]:
            return failed(result, epochs)
        described = _left(scratch / "samples.json")
        parameters = int(described["parameters"])
        if not 0 <= parameters < 1 << 63:
            raise ValueError("parameters are a count")
        ended = TrialResult(Outcome.TRAINED, str(described["unread"])[:LONGEST], epochs, parameters)
        ended.flops, ended.parts = structure.checked(described["flops"], described["parts"])
        ended.quality, ended.samples = float(result["quality"]), [dict(sample) for sample in described["samples"]]
        ended.stages = {str(stage): float(seconds) for stage, seconds in result["seconds"].items()}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise TamperedError(f"its result cannot be read ({type(error).__name__})") from error
    if len(epochs) < job.epochs:
        raise TamperedError(f"it ends well after {len(epochs)} of {job.epochs} epochs")
    for epoch in epochs:
        # LEMUR writes NaN and infinity as null.
        if epoch.train_loss is None or epoch.test_loss is None:
            ended.outcome, ended.detail = Outcome.DIVERGED, f"the loss of epoch {epoch.epoch} is not finite"
            break
    return ended


def failed(result: dict[str, Any], epochs: list[Epoch]) -> TrialResult:
    """Sort the child's exception: ours and the machine's are raised again, the Net's become its outcome."""
    error, message = str(result["error"]), " ".join(str(result["message"]).split())[:LONGEST]
    for kind in (DatasetError, StoreError):
        if error in {kind.__name__, *(sub.__name__ for sub in kind.__subclasses__())}:
            raise kind(message)
    if result["errno"] in DISK_ERRORS or "No space left" in message or "disk is full" in message:
        raise TrialError(f"the disk is full or read-only ({message}); free some space and train again")
    if error in ("OutOfMemoryError", "MemoryError") or "can't allocate memory" in message:
        return TrialResult(Outcome.OUT_OF_MEMORY, message, epochs)
    if error == "LearnTimeException":
        return TrialResult(Outcome.TIMEOUT, "an epoch would take longer than its limit", epochs)
    return TrialResult(Outcome.RUNTIME_ERROR, f"{error}: {message}", epochs)


def _left(path: Path) -> Any:
    """What a child has left as JSON. Raises ValueError for anything but a plain file of reasonable size."""
    with weights.plain_file(path, _MOST_BYTES) as file:
        return json.loads(file.read().decode("utf-8"))


def log_tail(scratch: Path) -> str:
    """The end of what a child has printed, which may be megabytes. Raises TamperedError where its log is no plain file."""
    try:
        with weights.plain_file(scratch / "log", 1 << 40) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LONGEST))
            return file.read().decode("utf-8", "replace").strip()
    except weights.NotPlainError as error:
        raise TamperedError(f"what it printed cannot be read ({error})") from error


def _last_line(scratch: Path) -> str:
    return (log_tail(scratch).splitlines() or ["it printed nothing"])[-1]
