"""A process that imports what many children need once, and forks one for each job.

The caller's side is `ForkServer`; the server itself is a module that ends in `serve`. A job is a socket: what is said over
it is between the caller and the child.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from lemur_caption.contract.sandbox import linux
from lemur_caption.contract.sandbox.process import kill_group
from lemur_caption.contract.sandbox.supervise import leave_nothing
from lemur_caption.errors import LemurCaptionError

READY = b"R"
JOB = b"J"
START_S = 120.0


def serve(warm_up: Callable[[], None], answer: Callable[[socket.socket], None]) -> None:
    """In the server, whose last argument is its control socket: fork a child that calls `answer(job)` for each job.

    `warm_up` runs once. The server ends when the caller closes its end, and takes every child along.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), socket.socket(fileno=int(sys.argv[-1])) as control:
        warm_up()
        control.sendall(READY)
        while True:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not select.select([control], [], [], 1.0)[0]:
                continue
            message, descriptors, _, _ = socket.recv_fds(control, 1, 4)
            if not message:
                break
            for descriptor in descriptors:
                _fork(descriptor, control, answer)
    leave_nothing()


def _fork(descriptor: int, control: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    server = os.getpid()
    if os.fork() == 0:
        status = 1
        try:
            os.setsid()
            linux.die_with_parent(server)
            control.close()
            with socket.socket(fileno=descriptor) as job:
                answer(job)
            status = 0
        finally:
            os._exit(status)
    os.close(descriptor)


class ForkServer:
    """A server under the caller's control. Safe to use from several threads; started when first needed.

    `module` is the server's module, `folder` its working folder, `log` what it writes goes into. A server that has died is
    started again. `what` names it in messages.
    """

    def __init__(self, module: str, folder: Path, log: Path, environment: Mapping[str, str], what: str) -> None:
        self._module, self._folder, self._log = module, folder, log
        self._environment, self._what = environment, what
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the server unless it runs. Raises LemurCaptionError when it does not come up."""
        with self._lock:
            self._start()

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None else None

    def job(self) -> socket.socket:
        """This end of a new job's socket. Raises LemurCaptionError when the server does not take it."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._hand_over(theirs)
            except BaseException:
                ours.close()
                raise
        return ours

    def stop(self) -> None:
        """End the server and every child of it. A later job starts it again."""
        with self._lock:
            self._stop()

    def _hand_over(self, theirs: socket.socket) -> None:
        with self._lock:
            for attempt in (1, 2):
                control = self._start()
                try:
                    socket.send_fds(control, [JOB], [theirs.fileno()])
                    return
                except (BrokenPipeError, ConnectionResetError):
                    self._stop()
                    if attempt == 2:
                        raise LemurCaptionError(f"{self._what} keeps ending; see {self._log}") from None

    def _start(self) -> socket.socket:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._stop()
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=self._folder,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._control = ours
        ready = select.select([ours], [], [], START_S)[0] and ours.recv(1)
        if ready != READY:
            # What it says last is in the log when it is over.
            self._stop()
            last = (self._log.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise LemurCaptionError(
                f"{self._what} does not start ({last}); check the room on the disk and the installation of torch"
            )
        return ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                kill_group(self._process)
        self._control = self._process = None
