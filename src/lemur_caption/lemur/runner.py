"""Training one Net with LEMUR's runner in a sandboxed child process, and storing what it measured.

The parent never executes the Net's code. It starts `trial` in a scratch root, reads LEMUR's epoch
files as they appear, and puts each finished epoch into the real store with LEMUR's own writer.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ..candidate import Epoch, Outcome
from ..contract import sandbox
from ..dataset import coco, shapes
from ..errors import DatasetError, StoreError, TrialError, UsageError
from .loading import DATA_VARIABLE, FOLDERS, data_folder
from .root import pin_root
from .store import Store
from .trial import TrialJob

_POLL_SECONDS = 0.2
_SCRATCH = "lemur-caption-trial-"
_FOREVER = 10 * 365 * 86400.0
# What LEMUR adds to the JSON of an epoch for human readers; its database does not get them.
_JSON_ONLY = ("task", "dataset", "metric", "model")
# How PyTorch is to use this machine is the person's to say; nothing else of the environment reaches a Net.
_KEPT_ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "OPENBLAS_CORETYPE",
)


@dataclass
class TrialResult:
    """How a trial ended. `samples` holds captions of the trained Net: image, caption, reference.

    `protections` says which of the sandbox's walls stood.
    """

    outcome: Outcome
    detail: str = ""
    epochs: list[Epoch] = field(default_factory=list)
    parameters: int | None = None
    quality: float | None = None
    samples: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    protections: dict[str, bool | str] = field(default_factory=dict)


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
    transform, DatasetError for unusable data, StoreError when LEMUR's store cannot be written and
    TrialError when the child could not do its work for another reason that is not the Net's (a
    full disk). Whatever happens the child's whole process group is gone afterwards and stored
    epochs stay.
    """
    _check_names(store, job)
    folder = _prepare_data(store, job, data)
    started = time.monotonic()
    try:
        _remove_orphans()
        scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))
        try:
            _make_scratch_root(scratch, job)
            with _start(scratch, folder, job.threads, timeout_seconds) as child:
                epochs: list[Epoch] = []
                try:
                    _follow(store, job, name, scratch, child, epochs, on_epoch)
                    result = _conclude(scratch, child.wait(), epochs, job)
                except _Tampered as error:
                    result = TrialResult(Outcome.RUNTIME_ERROR, f"the Net tampered with its trial: {error}", epochs)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise TrialError(
            f"the trial of {name} could not run ({error.strerror or error}); free some space in {tempfile.gettempdir()}"
        ) from error
    result.seconds = time.monotonic() - started
    return result


def _check_names(store: Store, job: TrialJob) -> None:
    if job.dataset not in FOLDERS:
        raise UsageError(f"unknown dataset `{job.dataset}`; lemur-caption has {', '.join(FOLDERS)}")
    for metric in job.metric.split(","):
        store.materialize("metric", metric.strip())
    store.materialize("transform", job.transform)


def _prepare_data(store: Store, job: TrialJob, data: Path | None) -> Path:
    """The data folder of the trial, whole before the Net runs: the sandbox lets nobody write there."""
    if data is not None:
        folder = data
    else:
        folder = data_folder(job.dataset, store.lemur.data)
        if job.dataset == "shapes" and DATA_VARIABLE not in os.environ:
            shapes.render_shapes(folder)
    coco.check_folder(folder)
    return folder.resolve()


def _remove_orphans() -> None:
    """Remove the scratch folders of processes that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*-*"):
        owner = folder.name.removeprefix(_SCRATCH).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _make_scratch_root(scratch: Path, job: TrialJob) -> None:
    pin_root(scratch)
    (scratch / "job.json").write_text(job.to_json(), encoding="utf-8")


def _start(scratch: Path, data: Path, threads: int, timeout_seconds: float | None) -> sandbox.SandboxedProcess:
    """The child, with its scratch folder to write, the data and torch's downloaded weights to read."""
    weights = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch"))
    devices = [
        str(path) for path in (*Path("/dev").glob("nvidia*"), Path("/dev/shm"), Path("/dev/dri")) if path.exists()
    ]
    gpu = any("nvidia" in device for device in devices)
    limits = sandbox.Limits(
        wall_s=timeout_seconds or _FOREVER,
        cpu_s=None,
        # CUDA reserves far more address space than a machine has memory.
        memory_bytes=None if gpu else psutil.virtual_memory().total,
        file_bytes=1 << 30,
        open_files=None,
        processes=256,
    )
    policy = sandbox.Policy(
        limits,
        readable=(str(data), str(weights), "/sys", "/proc"),
        writable=(str(scratch), *devices),
        processes=True,
        fatal=False,
        audit=False,
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = str(threads or cores)
    environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    environment |= {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
    environment |= {DATA_VARIABLE: str(data), "TORCH_HOME": str(weights), "PYLINTHOME": str(scratch / "pylint")}
    # LEMUR runs pylint by name.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with (scratch / "log").open("wb") as log:
        return sandbox.start(
            [sys.executable, "-m", "lemur_caption.lemur.trial", "job.json"],
            policy,
            folder=scratch,
            environment=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _follow(
    store: Store,
    job: TrialJob,
    name: str,
    scratch: Path,
    child: sandbox.SandboxedProcess,
    epochs: list[Epoch],
    on_epoch: Callable[[Epoch], object],
) -> None:
    """Store epochs as LEMUR finishes them and add them to `epochs`, until the child ends."""
    while True:
        ended = child.popen.poll() is not None
        while len(epochs) < job.epochs and (record := _epoch_record(scratch, len(epochs) + 1)) is not None:
            epoch = _as_epoch(len(epochs) + 1, record)
            prm = {key: value for key, value in record.items() if key not in _JSON_ONLY}
            store.save_epoch(name, job.source, job.dataset, job.metric, epoch.epoch, prm)
            epochs.append(epoch)
            on_epoch(epoch)
        if ended:
            return
        time.sleep(_POLL_SECONDS)


class _Tampered(Exception):
    """A file of the scratch root is not what LEMUR writes: the Net has been at it."""


def _epoch_record(scratch: Path, epoch: int) -> dict[str, Any] | None:
    """LEMUR's record of an epoch, or None while its file is missing or half-written. Raises _Tampered."""
    path = scratch / "stat" / f"{epoch}.json"
    try:
        trials = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _Tampered(f"epoch {epoch} cannot be read") from error
    record = trials[0] if isinstance(trials, list) and trials else None
    if not isinstance(record, dict) or not isinstance(record.get("train_stat"), dict):
        raise _Tampered(f"epoch {epoch} is no record of LEMUR's")
    values = [value for key, value in record.items() if key != "train_stat"] + list(record["train_stat"].values())
    accuracy = record.get("accuracy")
    plain = all(value is None or isinstance(value, (str, int, float)) for value in values)
    if not plain or not isinstance(accuracy, (int, float)) or not 0 <= accuracy < math.inf or "uid" not in record:
        raise _Tampered(f"epoch {epoch} holds other values than LEMUR stores")
    return record


def _as_epoch(number: int, record: dict[str, Any]) -> Epoch:
    losses = record.get("train_stat", {})
    return Epoch(
        epoch=number,
        accuracy=float(record["accuracy"]),
        train_loss=losses.get("train_loss"),
        test_loss=losses.get("test_loss"),
        seconds=float(record.get("duration_seconds", 0.0)),
    )


def _conclude(scratch: Path, finished: sandbox.Finished, epochs: list[Epoch], job: TrialJob) -> TrialResult:
    result = _outcome(scratch, finished, epochs, job)
    result.protections = finished.protections
    return result


def _outcome(scratch: Path, finished: sandbox.Finished, epochs: list[Epoch], job: TrialJob) -> TrialResult:
    path = scratch / "result.json"
    if finished.outcome is Outcome.TIMEOUT:
        return TrialResult(Outcome.TIMEOUT, f"stopped after {len(epochs)} of {job.epochs} epochs", epochs)
    if not path.exists():
        ending = f"{finished.ending['reason']} {finished.ending['code']}"
        return TrialResult(
            finished.outcome or Outcome.RUNTIME_ERROR, f"the process ended by {ending}: {_last_line(scratch)}", epochs
        )
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["error"]:
            return _failed(result, epochs)
        described = json.loads((scratch / "samples.json").read_text(encoding="utf-8"))
        parameters, samples = int(described["parameters"]), [dict(sample) for sample in described["samples"]]
        ended = TrialResult(Outcome.TRAINED, "", epochs, parameters, float(result["quality"]), samples)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _Tampered(f"its result cannot be read ({type(error).__name__})") from error
    if len(epochs) < job.epochs:
        raise _Tampered(f"it ends well after {len(epochs)} of {job.epochs} epochs")
    for epoch in epochs:
        # LEMUR writes NaN and infinity as null.
        if epoch.train_loss is None or epoch.test_loss is None:
            ended.outcome, ended.detail = Outcome.DIVERGED, f"the loss of epoch {epoch.epoch} is not finite"
            break
    return ended


def _failed(result: dict[str, Any], epochs: list[Epoch]) -> TrialResult:
    """Sort the child's exception: ours and the machine's are raised again, the Net's become its outcome."""
    error, message = str(result["error"]), " ".join(str(result["message"]).split())
    for kind in (DatasetError, StoreError):
        if error in {kind.__name__, *(sub.__name__ for sub in kind.__subclasses__())}:
            raise kind(message)
    if (
        result["errno"] in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
        or "No space left" in message
        or "disk is full" in message
    ):
        raise TrialError(f"the disk is full or read-only ({message}); free some space and train again")
    if error in ("OutOfMemoryError", "MemoryError") or "can't allocate memory" in message:
        return TrialResult(Outcome.OUT_OF_MEMORY, message, epochs)
    if error == "LearnTimeException":
        return TrialResult(Outcome.TIMEOUT, "an epoch would take longer than its limit", epochs)
    return TrialResult(Outcome.RUNTIME_ERROR, f"{error}: {message}", epochs)


def _last_line(scratch: Path) -> str:
    lines = (scratch / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
