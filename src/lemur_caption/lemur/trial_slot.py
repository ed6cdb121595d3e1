"""A place where trials run one after another without starting Python and LEMUR anew each time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..contract.sandbox.forkserver import ForkServer
from ..contract.sandbox.limits import Policy
from ..contract.sandbox.process import GRACE_S, Finished, clean_environment
from ..errors import TrialError
from .root import pin_root

PREFIX = "lemur-caption-slot-"
# The seconds that the server, when it started, spent on having pylint read torch.
RATING = "rating-seconds"


class TrialSlot:
    """One trial at a time, each in a child forked from a server that has LEMUR loaded; a context manager.

    `folder` is the LEMUR root that all its trials work in, one after another, emptied before each: LEMUR fixes its root
    when it is imported. `environment` is the server's and its children's: how PyTorch computes, and on which GPU.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._killed = False
        self._home = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.folder = self._home / "root"
        self.folder.mkdir()
        pin_root(self.folder)
        self._server = ForkServer(
            "lemur_caption.lemur.trial_server",
            self.folder,
            self._home / "server.log",
            clean_environment(self._home) | self.environment,
            "the trial server",
        )

    def __enter__(self) -> TrialSlot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server and remove the folder."""
        self._server.stop()
        with contextlib.suppress(OSError):
            open_up(self.folder)
        shutil.rmtree(self._home, ignore_errors=True)

    def rating_seconds(self) -> float:
        """What LEMUR's rating has cost the server since this was last asked: it is nobody's overhead, and paid but once."""
        told = self._home / RATING
        if not told.exists():
            return 0.0
        seconds = float(told.read_text(encoding="utf-8"))
        told.unlink()
        return seconds

    def kill(self) -> None:
        """End the server and the trial under way, and start no other; safe from another thread."""
        self._killed = True
        self._server.stop()

    def clear(self) -> None:
        """Make the folder a LEMUR root with nothing in it. Raises OSError, and TrialError after `kill`."""
        self._refuse_if_killed()
        # While the server starts it makes files there.
        self._server.start()
        open_up(self.folder)
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        pin_root(self.folder)

    def start(self, job: Path, policy: Policy, environment: Mapping[str, str], log: Path) -> ForkedProcess:
        """Run the trial that `job`, a file in the folder, describes. `environment` is all that it has.

        Raises TrialError after `kill`.
        """
        request = {
            "job": job.name,
            "folder": str(self.folder),
            "policy": policy.to_dict(),
            "environment": dict(environment),
            "log": str(log),
        }
        self._refuse_if_killed()
        connection = self._server.job()
        process = ForkedProcess(connection, policy)
        connection.sendall(json.dumps(request).encode() + b"\n")
        if self._killed:
            # The server that `kill` has ended was started again.
            self._server.stop()
        return process

    def _refuse_if_killed(self) -> None:
        if self._killed:
            raise TrialError("the trial was cancelled")


def open_up(folder: Path) -> None:
    """Give back the rights that a Net may have taken from its own folders, so that they can be emptied. Follows no links."""
    folder.chmod(0o700)
    for place, inner, _ in os.walk(folder):
        for path in (Path(place) / name for name in inner):
            if not path.is_symlink():
                path.chmod(0o700)


class ForkedProcess:
    """A sandboxed child of a fork-server under way; the same interface as `sandbox.SandboxedProcess`."""

    def __init__(self, connection: socket.socket, policy: Policy) -> None:
        self._connection, self._deadline = connection, time.monotonic() + policy.limits.wall_s + GRACE_S
        self._told = b""
        self._closed = False

    def __enter__(self) -> ForkedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._connection.close()

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, or its supervisor, which a Net may have stopped, lets it run beyond its time."""
        while not self._closed and select.select([self._connection], [], [], 0)[0]:
            self._receive()
        return self._closed or time.monotonic() > self._deadline

    def kill(self) -> None:
        """End it, and all that it started. The supervisor's death takes the program along."""
        while not self._closed and b"\n" not in self._told and select.select([self._connection], [], [], GRACE_S)[0]:
            self._receive()
        messages = self._messages()
        if not self._closed and messages:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(messages[0]["supervisor"], signal.SIGKILL)

    def wait(self) -> Finished:
        """Wait for its end, at most its wall time and a few seconds."""
        while not self._closed:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([self._connection], [], [], left)[0]:
                self.kill()
                return Finished.timed_out()
            self._receive()
        _, *told = self._messages() or [{}]
        return Finished.of(told[0]) if told else Finished.untold(1)

    def _receive(self) -> None:
        try:
            data = self._connection.recv(65536)
        except ConnectionResetError:
            data = b""
        self._told += data
        self._closed = not data

    def _messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._told.split(b"\n")[:-1]]
