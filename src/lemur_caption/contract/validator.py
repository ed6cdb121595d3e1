"""The whole contract for one Net: its text first, then its behaviour, in a sandboxed child process."""

from __future__ import annotations

import contextlib
import json
import os
import select as selectors
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from lemur_caption import plugins
from lemur_caption.candidate import Outcome
from lemur_caption.contract import worker
from lemur_caption.contract.dynamic.rules import BY_ID
from lemur_caption.contract.registry import wanted
from lemur_caption.contract.report import ContractReport, Finding
from lemur_caption.contract.sandbox.forkserver import ForkServer
from lemur_caption.contract.sandbox.limits import Limits, Policy
from lemur_caption.contract.sandbox.process import clean_environment
from lemur_caption.contract.source_check import Profile, SourceRule, check_source
from lemur_caption.errors import UsageError

# How long after a candidate's wall time its supervisor may take to tidy up before it is killed as well.
GRACE_S = 1.5
ANSWER_BYTES = 4 << 20


def validate(
    source: str | bytes,
    *,
    profile: Profile = "strict",
    timeout_s: float | None = None,
    limits: Limits | None = None,
    static_only: bool = False,
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    extra_rules: Iterable[SourceRule] | None = None,
    pool: ValidatorPool | None = None,
) -> ContractReport:
    """Hold a Net against the contract. Its code never runs in this process.

    An error in the text ends it before any process starts. `timeout_s` is the wall time for running the Net and
    replaces `limits.wall_s` (30 s). Without a `pool` a worker is started for this one Net, which takes some seconds:
    for several Nets use one ValidatorPool. `select` and `ignore` choose what is reported, by rule id or prefix; the
    outcomes unsafe, timeout, out_of_memory and runtime_error stand even where their rule is left out.
    `extra_rules` are those of the installed plug-ins unless others are given.
    Raises UsageError for an unknown profile or rule, LemurCaptionError when no worker can be started.
    """
    started = time.perf_counter()
    chosen = None if select is None else tuple(select)
    left_out = tuple(ignore or ())
    added = plugins.rules() if extra_rules is None else extra_rules
    found = check_source(source, profile=profile, select=chosen, ignore=left_out, extra_rules=added)
    stages = {"source": time.perf_counter() - started}
    if static_only or any(finding.severity == "error" for finding in found):
        return ContractReport.of(found, seconds=time.perf_counter() - started, stages=stages)
    bounds = limits or Limits()
    if timeout_s is not None:
        # A Net that may take longer may also compute longer, on as many cores as the default allows.
        cpu_s = bounds.cpu_s and bounds.cpu_s * max(1.0, timeout_s / bounds.wall_s)
        bounds = replace(bounds, wall_s=timeout_s, cpu_s=cpu_s)
    text = source.decode("utf-8-sig") if isinstance(source, bytes) else source
    if pool is None:
        with ValidatorPool() as own:
            answer = own.examine(text, profile, bounds)
    else:
        answer = pool.examine(text, profile, bounds)
    found += [finding for finding in answer.findings if wanted(finding.rule, chosen, left_out)]
    report = ContractReport.of(
        found,
        outcome=answer.outcome,
        protections=answer.protections,
        seconds=time.perf_counter() - started,
        stages=stages | answer.stages,
    )
    report.fingerprint = answer.fingerprint if report.ok else None
    return report


@dataclass
class Answer:
    """What a worker said of one Net."""

    findings: list[Finding] = field(default_factory=list)
    outcome: Outcome | None = None
    protections: dict[str, bool | str] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    stage: str = "before the first check"
    done: bool = False
    ending: dict[str, Any] | None = None
    fingerprint: str | None = None
    supervisor: int | None = None

    def take(self, message: dict[str, Any]) -> None:
        kind = message.pop("kind")
        if kind == "supervisor":
            self.supervisor = message["pid"]
        elif kind == "protections":
            self.protections = message["states"]
        elif kind == "stage":
            self.stage = f"in the {message['stage']} stage"
        elif kind == "seconds":
            self.stages[message["stage"]] = message["seconds"]
        elif kind == "finding":
            self.findings.append(Finding(**message))
        elif kind == "fingerprint":
            self.fingerprint = message["fingerprint"]
        elif kind == "ended" and self.outcome is None:
            self.outcome = Outcome(message["outcome"])
            self._blame(message["text"], message["line"])
        elif kind == "done":
            self.done = True
        elif kind == "ending":
            self.ending = message
            self.protections = message["protections"] | self.protections

    def _blame(self, text: str, line: int | None) -> None:
        """The finding that says why the Net ended."""
        rule = {
            Outcome.UNSAFE: "LC691",
            Outcome.TIMEOUT: "LC692",
            Outcome.OUT_OF_MEMORY: "LC693",
            Outcome.RUNTIME_ERROR: "LC694",
        }[self.outcome or Outcome.RUNTIME_ERROR]
        detail = f": {text}" if rule == "LC693" else ""
        values = {"action": text, "how": text, "where": detail, "stage": self.stage, "seconds": 0.0}
        if rule == "LC694":
            values["where"] = ""
        if rule == "LC692":
            values["seconds"] = float(text)
        self.findings.append(BY_ID[rule].finding(line, None, hint=None, **values))

    def conclude(self, limits: Limits) -> None:
        """Settle the outcome from how the process ended, unless the Net's own end was told before."""
        if self.outcome is not None:
            return
        ending = self.ending
        if ending is None:
            self.outcome = Outcome.TIMEOUT
            self._blame(str(limits.wall_s), None)
        elif ending["forbidden"]:
            self.outcome = Outcome.UNSAFE
            self._blame("makes a system call that the sandbox forbids", None)
        elif ending["reason"] == "timeout" or ending["out_of_cpu"]:
            self.outcome = Outcome.TIMEOUT
            self._blame(str(limits.wall_s if ending["reason"] == "timeout" else limits.cpu_s), None)
        elif ending["reason"] == "processes":
            self.outcome = Outcome.UNSAFE
            self._blame("starts many processes", None)
        elif ending["reason"] == "signal":
            self.outcome = Outcome.OUT_OF_MEMORY if ending["code"] == signal.SIGKILL else Outcome.RUNTIME_ERROR
            self._blame(f"died of {_signal_name(ending['code'])}", None)
        elif not self.done or ending["code"] != 0:
            self.outcome = Outcome.RUNTIME_ERROR
            self._blame(f"ended by itself with status {ending['code']}", None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class ValidatorPool:
    """A warm fork-server for many Nets, with `workers` of them at a time; a context manager.

    One process imports torch once and forks a fresh child for each candidate. Safe to use from several threads.
    Leaving the context ends every process of the pool. `audit=False` leaves out the hook that names what a Net tried, so
    that the kernel's walls stand alone; it is for testing them.
    """

    def __init__(self, workers: int = 1, *, audit: bool = True):
        if workers < 1:
            raise UsageError(f"a pool needs at least one worker, not {workers}")
        if not hasattr(os, "fork"):
            raise UsageError(
                "the sandbox needs a system with fork (Linux or macOS); use the source rules alone (--static)"
            )
        self._audit = audit
        self._free = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._server: ForkServer | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> ValidatorPool:
        self._running().start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process of the pool. A later `examine` starts it again."""
        with self._lock:
            if self._server is not None:
                self._server.stop()
            if self._folder is not None:
                self._folder.cleanup()
            self._server = self._folder = None

    def validate(self, source: str | bytes, **options: Any) -> ContractReport:
        """`validate(source, pool=self, …)`."""
        return validate(source, pool=self, **options)

    def examine(self, source: str, profile: str, limits: Limits) -> Answer:
        """Run the dynamic stages on a Net in a child of its own. Raises LemurCaptionError when no worker can be started."""
        answer = Answer()
        request = {"source": source, "profile": profile, "policy": Policy(limits, audit=self._audit).to_dict()}
        payload = json.dumps(request).encode()
        with self._free:
            with self._running().job() as job:
                try:
                    job.settimeout(limits.wall_s + GRACE_S)
                    job.sendall(worker.HEADER.pack(len(payload)) + payload)
                    self._read(job, answer, time.monotonic() + limits.wall_s + GRACE_S)
                except (BrokenPipeError, ConnectionResetError, TimeoutError):
                    answer.ending = None
            if answer.ending is None and answer.supervisor is not None:
                # The supervisor itself hangs or is gone.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(answer.supervisor, signal.SIGKILL)
        answer.conclude(limits)
        return answer

    def _read(self, stream: socket.socket, answer: Answer, deadline: float) -> None:
        pending, taken = b"", 0
        while taken < ANSWER_BYTES:
            left = deadline - time.monotonic()
            if left <= 0 or not selectors.select([stream], [], [], left)[0]:
                return
            data = stream.recv(65536)
            if not data:
                return
            taken += len(data)
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                answer.take(json.loads(line))

    def _running(self) -> ForkServer:
        with self._lock:
            if self._server is None:
                self._folder = tempfile.TemporaryDirectory(prefix="lemur-caption-")
                home = Path(self._folder.name)
                environment = clean_environment(home) | {"CUDA_VISIBLE_DEVICES": ""}
                self._server = ForkServer(
                    "lemur_caption.contract.worker", home, home / "worker.log", environment, "the contract's worker"
                )
            return self._server


__all__ = ["Answer", "ValidatorPool", "validate"]
