"""The fork-server of one trial slot: `python -m lemur_caption.lemur.trial_server FD`, started by `TrialSlot`.

It imports torch and LEMUR once, in the slot's folder, which is a LEMUR root from then on. Each trial is a sandboxed child of
it: a Net that has trained leaves no trace for the next. The server itself runs no Net's code.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from ..contract.sandbox import forkserver, syscalls
from ..contract.sandbox.limits import Policy
from ..contract.sandbox.supervise import Protections, supervise
from . import trial
from .trial_slot import RATING


def _warm_up() -> None:
    """Import what every trial needs. LEMUR's database is made anew for each, so what it makes here is of no matter."""
    import numpy  # noqa: F401
    import psutil  # noqa: F401
    import torch
    import torchvision  # noqa: F401
    from ab.nn.util.db.Init import init_db

    init_db()
    import ab.nn.api
    import ab.nn.loader.coco_.Caption  # noqa: F401

    from ..dataset import coco  # noqa: F401
    from . import compat, loading  # noqa: F401
    from .structure import run  # noqa: F401

    # It reads this but once, when it is imported; in the trials the folder is the same.
    os.environ["PYLINTHOME"] = str(Path("pylint").absolute())
    started = time.monotonic()
    compat.rate_here(str(Path(__file__).parents[1] / "lemur_files" / "nn" / "CaptionLSTM.py"))
    # Beside the folder, which is emptied before each trial.
    Path("..", RATING).write_text(str(time.monotonic() - started), encoding="utf-8")
    syscalls.library()
    # A trial's threads start in the trial: a forked process has none of its parent's.
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def _answer(job: socket.socket) -> None:
    """One trial: read what is wanted, run it under supervision, say how it ended."""
    with job.makefile("rb") as stream:
        request: dict[str, Any] = json.loads(stream.readline())
    _send(job, {"supervisor": os.getpid()})
    told = bytearray()

    def child(pipe: int, states: Protections) -> None:
        os.write(pipe, json.dumps(states).encode())
        os.close(pipe)
        _train(request)

    policy = Policy.from_dict(request["policy"])
    ending = supervise(child, policy, told.extend, close=[job.fileno()], execute=True)
    if told:
        ending.protections = json.loads(told)
    _send(job, ending.to_dict())


def _train(request: dict[str, Any]) -> None:
    """In the sandboxed child: the trial, as if its program had been started afresh."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, targets in ((nowhere, (0,)), (log, (1, 2))):
        for target in targets:
            os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    trial.main(Path(request["job"]))


def _send(job: socket.socket, message: dict[str, Any]) -> None:
    job.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    forkserver.serve(_warm_up, _answer)
