"""The child process in which a Net runs: where it works, what it may reach, and what it finds in its environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psutil

from ..contract import sandbox
from ..contract.sandbox.process import clean_environment
from ..dataset.cache_folder import CACHE_VARIABLE, cache_folder
from ..errors import TrialError
from ..machine import cores
from .loading import DATA_VARIABLE
from .root import pin_root
from .trial import WEIGHTS
from .trial_slot import PREFIX, ForkedProcess, TrialSlot

Child = sandbox.SandboxedProcess | ForkedProcess
TRIAL = "lemur_caption.lemur.trial"
_SCRATCH = "lemur-caption-trial-"
_FOREVER = 10 * 365 * 86400.0
# How PyTorch is to use this machine is the person's to say; nothing else of the environment reaches a Net.
_KEPT_ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "OPENBLAS_CORETYPE",
)


class Job(Protocol):
    """What a child is to do. `threads` 0 takes all cores that there are."""

    threads: int

    def to_json(self) -> str:
        """The job as the child's program reads it."""


@contextmanager
def running(
    job: Job,
    data: Path,
    timeout_seconds: float | None,
    what: str,
    trained: Path | None = None,
    slot: TrialSlot | None = None,
    program: str = TRIAL,
    device: str | None = None,
) -> Iterator[tuple[Path, Child]]:
    """The child process of `job` under way in a scratch folder, beside the weights `trained`.

    `program` is the module that runs there and `device` its GPU; a slot has both of its own. The folder is the slot's, or
    one of the child's own that goes with it. Raises TrialError, which calls the child `what`, where the disk has no room.
    """
    try:
        _remove_orphans()
        scratch = slot.folder if slot is not None else Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))
        try:
            if slot is not None:
                slot.clear()
            pin_root(scratch)
            (scratch / "job.json").write_text(job.to_json(), encoding="utf-8")
            if trained is not None:
                shutil.copyfile(trained, scratch / WEIGHTS)
            environment = slot.environment if slot is not None else compute_environment(job.threads, device)
            with _start(scratch, data, environment, timeout_seconds, slot, program) as child:
                yield scratch, child
        finally:
            if slot is None:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise TrialError(
            f"{what} could not run ({error.strerror or error}); free some space in {tempfile.gettempdir()}"
        ) from error


def _data_paths(data: Path) -> list[str]:
    """The data folder, and what its links lead to: large image folders often lie on another disk."""
    entries = [entry for folder in (data, data / "annotations") if folder.is_dir() for entry in folder.iterdir()]
    return [str(data), *(str(entry.resolve()) for entry in entries if entry.is_symlink())]


def compute_environment(threads: int, device: str | None = None) -> dict[str, str]:
    """How PyTorch is to compute in a child, as its environment says it; `device` is its GPU."""
    count = str(threads or cores())
    found = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    found |= {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
    return found | ({"CUDA_VISIBLE_DEVICES": device} if device is not None else {})


def _remove_orphans() -> None:
    """Remove the folders of processes that were killed before they could."""
    for prefix in (_SCRATCH, PREFIX):
        for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*-*"):
            owner = folder.name.removeprefix(prefix).partition("-")[0]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)


def _start(
    scratch: Path,
    data: Path,
    environment: dict[str, str],
    timeout_seconds: float | None,
    slot: TrialSlot | None,
    program: str,
) -> Child:
    """The child, with its scratch folder to write, the data, their cache and torch's downloaded weights to read."""
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
        readable=(*_data_paths(data), str(cache_folder(data)), str(weights), "/sys", "/proc"),
        writable=(str(scratch), *devices),
        processes=True,
        fatal=False,
        audit=False,
    )
    environment = environment | {
        DATA_VARIABLE: str(data),
        "TORCH_HOME": str(weights),
        "PYLINTHOME": str(scratch / "pylint"),
    }
    if CACHE_VARIABLE in os.environ:
        environment[CACHE_VARIABLE] = str(Path(os.environ[CACHE_VARIABLE]).absolute())
    # LEMUR runs pylint by name.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if slot is not None:
        return slot.start(scratch / "job.json", policy, clean_environment(scratch) | environment, scratch / "log")
    with (scratch / "log").open("wb") as log:
        return sandbox.start(
            [sys.executable, "-m", program, "job.json"],
            policy,
            folder=scratch,
            environment=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
