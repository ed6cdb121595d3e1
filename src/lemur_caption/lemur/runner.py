"""Training one Net with LEMUR's runner in a child process, and storing what it measured.

The parent never executes the Net's code. It starts `trial` in a scratch root, reads LEMUR's epoch
files as they appear, and puts each finished epoch into the real store with LEMUR's own writer.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..candidate import Epoch, Outcome
from ..errors import DatasetError, LemurCaptionError, TrialError, UsageError
from .loading import DATA_VARIABLE, FOLDERS
from .root import pin_root
from .store import Store
from .trial import TrialJob

_POLL_SECONDS = 0.2
# What LEMUR adds to the JSON of an epoch for human readers; its database does not get them.
_JSON_ONLY = ("task", "dataset", "metric", "model")
_KEPT_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME",
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "TORCH_HOME", "XDG_CACHE_HOME",
    "TMPDIR", DATA_VARIABLE,
)  # fmt: skip


@dataclass
class TrialResult:
    """How a trial ended. `samples` holds captions of the trained Net: image, caption, reference."""

    outcome: Outcome
    detail: str = ""
    epochs: list[Epoch] = field(default_factory=list)
    parameters: int | None = None
    quality: float | None = None
    samples: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0


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
    scratch = Path(tempfile.mkdtemp(prefix="lemur-caption-trial-"))
    started = time.monotonic()
    try:
        _make_scratch_root(scratch, store, job)
        child = _start(scratch, data)
        try:
            epochs = _follow(store, job, name, scratch, child, timeout_seconds, on_epoch)
            timed_out = child.poll() is None
        finally:
            _kill_group(child)
        result = _conclude(scratch, child.returncode, epochs, timed_out=timed_out, job=job)
    except OSError as error:
        raise TrialError(
            f"the trial of {name} could not run in {scratch.parent} ({error.strerror or error})"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result.seconds = time.monotonic() - started
    return result


def _check_names(store: Store, job: TrialJob) -> None:
    if job.dataset not in FOLDERS:
        raise UsageError(f"unknown dataset `{job.dataset}`; lemur-caption has {', '.join(FOLDERS)}")
    for metric in job.metric.split(","):
        store.materialize("metric", metric.strip())
    store.materialize("transform", job.transform)


def _make_scratch_root(scratch: Path, store: Store, job: TrialJob) -> None:
    pin_root(scratch)
    store.lemur.data.mkdir(parents=True, exist_ok=True)
    (scratch / "data").symlink_to(store.lemur.data.resolve(), target_is_directory=True)
    (scratch / "job.json").write_text(job.to_json(), encoding="utf-8")


def _start(scratch: Path, data: Path | None) -> subprocess.Popen[bytes]:
    environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
    # LEMUR runs pylint by name.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    environment |= {"HF_HUB_OFFLINE": "1", "PYLINTHOME": str(scratch / "pylint")}
    if data is not None:
        environment[DATA_VARIABLE] = str(data.resolve())
    with (scratch / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lemur_caption.lemur.trial", "job.json"],
            cwd=scratch,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _follow(
    store: Store,
    job: TrialJob,
    name: str,
    scratch: Path,
    child: subprocess.Popen[bytes],
    timeout_seconds: float | None,
    on_epoch: Callable[[Epoch], object],
) -> list[Epoch]:
    """Store epochs as LEMUR finishes them, until the child ends or its time is up."""
    deadline = time.monotonic() + (timeout_seconds or math.inf)
    epochs: list[Epoch] = []
    while True:
        ended = child.poll() is not None
        while (record := _epoch_record(scratch, len(epochs) + 1)) is not None:
            epoch = _as_epoch(len(epochs) + 1, record)
            prm = {key: value for key, value in record.items() if key not in _JSON_ONLY}
            store.save_epoch(name, job.source, job.dataset, job.metric, epoch.epoch, prm)
            epochs.append(epoch)
            on_epoch(epoch)
        if ended or time.monotonic() > deadline:
            return epochs
        time.sleep(_POLL_SECONDS)


def _epoch_record(scratch: Path, epoch: int) -> dict[str, Any] | None:
    """LEMUR's record of an epoch, or None while its file is missing or half-written."""
    path = scratch / "stat" / f"{epoch}.json"
    try:
        trials = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    record: dict[str, Any] = trials[0]
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


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and all that it started: it leads a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin:
        child.stdin.close()


def _conclude(scratch: Path, returncode: int, epochs: list[Epoch], *, timed_out: bool, job: TrialJob) -> TrialResult:
    if timed_out:
        return TrialResult(Outcome.TIMEOUT, f"stopped after {len(epochs)} of {job.epochs} epochs", epochs)
    path = scratch / "result.json"
    if not path.exists():
        if returncode == -signal.SIGKILL:
            return TrialResult(Outcome.OUT_OF_MEMORY, "the process was killed, most likely for its memory", epochs)
        return TrialResult(
            Outcome.RUNTIME_ERROR, f"the process ended with code {returncode}: {_last_line(scratch)}", epochs
        )
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["error"]:
        return _failed(result, epochs)
    described = json.loads((scratch / "samples.json").read_text(encoding="utf-8"))
    ended = TrialResult(Outcome.TRAINED, "", epochs, described["parameters"], result["quality"], described["samples"])
    for epoch in epochs:
        # LEMUR writes NaN and infinity as null.
        if epoch.train_loss is None or epoch.test_loss is None:
            ended.outcome, ended.detail = Outcome.DIVERGED, f"the loss of epoch {epoch.epoch} is not finite"
            break
    return ended


def _failed(result: dict[str, Any], epochs: list[Epoch]) -> TrialResult:
    """Sort the child's exception: ours and the machine's are raised again, the Net's become its outcome."""
    error, message = result["error"], result["message"].strip().splitlines()[0]
    for kind in (DatasetError, UsageError, LemurCaptionError):
        if error == kind.__name__ or error in {sub.__name__ for sub in kind.__subclasses__()}:
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
