"""The process between the caller and a candidate: it forks the candidate, watches it, and leaves nothing behind.

It runs none of the candidate's code, so it can be believed when it says how the candidate ended.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from lemur_caption.contract.sandbox import linux, syscalls
from lemur_caption.contract.sandbox.filesystem import restrict_files
from lemur_caption.contract.sandbox.limits import Policy
from lemur_caption.contract.sandbox.resources import limit_resources
from lemur_caption.contract.sandbox.syscalls import restrict_calls

POLL_S = 0.02
OUTPUT_BYTES = 4 << 20
Protections = dict[str, bool | str]


@dataclass
class Ending:
    """How a sandboxed process ended.

    `reason` is `exit`, `signal`, `timeout`, `processes` (more at once than its limit) or `output` (more bytes in
    its pipe than anyone needs); `code` the exit status or the signal. `cpu_s` and `peak_bytes` are its own.
    """

    reason: str
    code: int
    seconds: float
    cpu_s: float = 0.0
    peak_bytes: int = 0
    protections: Protections = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The account as a caller in another process reads it: the fields, `forbidden` and `out_of_cpu`."""
        return asdict(self) | {"forbidden": self.forbidden, "out_of_cpu": self.out_of_cpu}

    @property
    def forbidden(self) -> bool:
        """Ended by the seccomp filter."""
        return self.reason == "signal" and self.code == signal.SIGSYS

    @property
    def out_of_cpu(self) -> bool:
        return self.reason == "signal" and self.code == signal.SIGXCPU


def enter(policy: Policy, states: Protections, execute: bool) -> Protections:
    """Put this process, of one thread, under its limits for good; returns what is in force beside `states`."""
    contained = states.get("pid_namespace") is True
    states = states | limit_resources(policy.limits, contained=contained)
    states["file_system"] = restrict_files(policy.readable, policy.writable, execute)
    states["system_calls"] = restrict_calls(
        processes=policy.processes,
        execute=execute,
        network=policy.network,
        writes=bool(policy.writable),
        fatal=policy.fatal,
    )
    return states


def supervise(
    child: Callable[[int, Protections], None],
    policy: Policy,
    receive: Callable[[bytes], None],
    *,
    close: Iterable[int] = (),
    execute: bool = False,
) -> Ending:
    """Fork a process, run `child(pipe, protections)` in it under `policy`, hand on what it writes to the pipe.

    The child does not get the file descriptors in `close`; with `execute` it may replace its program.

    Call it in a process of one thread that exists for this alone: it moves itself into new namespaces. Returns
    when the child and all its descendants are gone. `child` should not return; when it does the exit status is 0.
    """
    started = time.monotonic()
    syscalls.library()
    states = linux.enter_namespaces(policy.network)
    states["orphans_adopted"] = linux.adopt_orphans()
    contained = states["pid_namespace"] is True
    read, write = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            for descriptor in (read, *close):
                os.close(descriptor)
            linux.die_with_parent(0 if contained else parent)
            child(write, enter(policy, states, execute))
            status = 0
        finally:
            os._exit(status)  # nothing of the supervisor's stack may run in the candidate
    os.close(write)
    watch = _Watch(pid, read, policy, receive, contained)
    try:
        reason = watch.run(started + policy.limits.wall_s)
    finally:
        status = watch.end()
        if not contained:  # a PID namespace ends with its first process
            leave_nothing()
    watch.drain()
    os.close(read)
    if reason == "exit" and os.WIFSIGNALED(status):
        reason = "signal"
    code = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    usage = watch.usage
    cpu = usage.ru_utime + usage.ru_stime if usage else 0.0
    if reason == "signal" and code == signal.SIGKILL and policy.limits.cpu_s and cpu >= policy.limits.cpu_s:
        # The first process of a PID namespace is deaf to SIGXCPU, and the kernel kills it at the hard limit instead.
        code = signal.SIGXCPU
    return Ending(reason, code, time.monotonic() - started, cpu, usage.ru_maxrss * 1024 if usage else 0, states)


class _Watch:
    """Waits for one child, its pipe and the clock together."""

    def __init__(self, pid: int, pipe: int, policy: Policy, receive: Callable[[bytes], None], contained: bool):
        self.pid, self.pipe, self.receive = pid, pipe, receive
        self.processes = None if contained or not linux.ON_LINUX else policy.limits.processes
        self.open, self.taken = True, 0
        self.status: int | None = None
        self.usage: resource.struct_rusage | None = None

    def run(self, deadline: float) -> str:
        """Why the wait ended."""
        os.set_blocking(self.pipe, False)
        while True:
            ended = self._ended()
            self._take()
            if ended:
                return "exit"
            if self.taken > OUTPUT_BYTES:
                return "output"
            left = deadline - time.monotonic()
            if left <= 0:
                return "timeout"
            if self.processes is not None and len(linux.descendants(os.getpid())) > self.processes:
                return "processes"
            pause = min(left, POLL_S)
            if self.open:
                select.select([self.pipe], [], [], pause)
            else:
                time.sleep(min(pause, 0.002))

    def _ended(self) -> bool:
        if self.status is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status, self.usage = status, usage
        return self.status is not None

    def _take(self) -> None:
        while self.open and self.taken <= OUTPUT_BYTES:
            try:
                data = os.read(self.pipe, 65536)
            except BlockingIOError:
                return
            self.open = bool(data)
            self.taken += len(data)
            if data:
                self.receive(data)

    def drain(self) -> None:
        """What was still in the pipe; no writer is left."""
        self._take()

    def end(self) -> int:
        """Kill the child if it still runs; its wait status."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)  # not reaped yet, so the id is still its own
            _, self.status, self.usage = os.wait4(self.pid, 0)
        return self.status


def leave_nothing(patience: float = 5.0) -> list[int]:
    """Kill every descendant of this process until none lives; returns those that outlived `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        alive = linux.descendants(os.getpid())
        if not alive or time.monotonic() > deadline:
            return alive
        for pid in alive:  # stop first: a process that is stopped cannot fork while its siblings are being killed
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
