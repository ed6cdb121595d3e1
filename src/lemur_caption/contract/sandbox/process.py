"""Starting a program in the sandbox, from the side of the caller."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import lemur_caption
from lemur_caption.candidate import Outcome
from lemur_caption.contract.sandbox.limits import Policy

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
GRACE_S = 3.0


def clean_environment(home: Path, threads: int = 1) -> dict[str, str]:
    """An environment without anything of the person's: what Python and torch need, `home` for all that they write."""
    package_root = str(Path(lemur_caption.__file__).resolve().parents[1])
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    path = dict.fromkeys([package_root, *(str(Path(entry).resolve()) for entry in given)])
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    own = {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "HOME": str(home),
        "TMPDIR": str(home),
        "HF_HUB_OFFLINE": "1",
    }
    return kept | count | own


def kill_group(process: subprocess.Popen[Any]) -> None:
    """End a process that leads its own session, and everything in its process group, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True)
class Finished:
    """How a sandboxed program ended. `outcome` is None where it came to its own end with status 0.

    `ending` has the supervisor's account (`reason`, `code`, `seconds`, `cpu_s`, `peak_bytes`), `protections` what was
    in force. A MemoryError inside the program is for the program to tell: here it is a status other than 0.
    """

    outcome: Outcome | None
    ending: dict[str, Any]
    protections: dict[str, bool | str]

    @classmethod
    def of(cls, ending: dict[str, Any]) -> Finished:
        """From the supervisor's account, with `forbidden`, `out_of_cpu` and `protections`."""
        return cls(_outcome(ending), ending, ending.pop("protections"))

    @classmethod
    def timed_out(cls) -> Finished:
        """The supervisor itself did not come to an end in time."""
        return cls(Outcome.TIMEOUT, {"reason": "timeout", "code": signal.SIGKILL}, {})

    @classmethod
    def untold(cls, status: int | None) -> Finished:
        """The supervisor ended without an account."""
        return cls(Outcome.RUNTIME_ERROR, {"reason": "exit", "code": status}, {})


class SandboxedProcess:
    """A program under way in the sandbox; a context manager that leaves nothing of it running.

    `popen` is its supervisor, which leads a session of its own and holds the program's standard streams.
    """

    def __init__(self, popen: subprocess.Popen[bytes], status: IO[bytes], policy: Policy, started: float):
        self.popen, self._status = popen, status
        self._deadline = started + policy.limits.wall_s + GRACE_S

    def __enter__(self) -> SandboxedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self._status, self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, or its supervisor, which it may have stopped, lets it run beyond its time."""
        return self.popen.poll() is not None or time.monotonic() > self._deadline

    def kill(self) -> None:
        """End it, and all that it started. The supervisor's death takes the program along."""
        kill_group(self.popen)

    def wait(self) -> Finished:
        """Wait for its end, at most its wall time and a few seconds. Reads none of its streams."""
        try:
            self.popen.wait(max(self._deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self.kill()
            return Finished.timed_out()
        told = self._status.read()
        return Finished.of(json.loads(told)) if told else Finished.untold(self.popen.returncode)


def _outcome(ending: dict[str, Any]) -> Outcome | None:
    if ending["forbidden"] or ending["reason"] == "processes":
        return Outcome.UNSAFE
    if ending["reason"] == "timeout" or ending["out_of_cpu"]:
        return Outcome.TIMEOUT
    if ending["reason"] == "signal" and ending["code"] == signal.SIGKILL:
        return Outcome.OUT_OF_MEMORY
    return None if ending["reason"] == "exit" and ending["code"] == 0 else Outcome.RUNTIME_ERROR


def start(
    program: Sequence[str],
    policy: Policy,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
) -> SandboxedProcess:
    """Start a program under `policy` with `folder` as its working folder and home.

    `folder` is writable only if `policy.writable` names it. `environment` adds to `clean_environment(folder)`. The
    streams are as for subprocess.Popen; a pipe that is not read blocks the program until its wall time is over.
    """
    read, write = os.pipe()
    with os.fdopen(write, "wb") as status:
        command = [sys.executable, "-m", "lemur_caption.contract.sandbox.launch", str(status.fileno())]
        started = time.monotonic()
        popen = subprocess.Popen(
            [*command, json.dumps(policy.to_dict()), "--", *program],
            pass_fds=[status.fileno()],
            cwd=folder,
            env=clean_environment(folder) | dict(environment or {}),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    return SandboxedProcess(popen, os.fdopen(read, "rb"), policy, started)


def run(program: Sequence[str], policy: Policy, **options: Any) -> Finished:
    """`start` and wait. Takes the options of `start`."""
    with start(program, policy, **options) as process:
        return process.wait()
