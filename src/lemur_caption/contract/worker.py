"""The fork-server of the contract: `python -m lemur_caption.contract.worker FD`, started by `ValidatorPool`.

It imports torch once. For each candidate it forks a supervisor, which forks the sandboxed process that runs the Net; so
a candidate starts in milliseconds and meets no trace of the one before. The server itself runs no candidate's code.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import socket
import struct
from typing import Any

from lemur_caption.contract.sandbox import forkserver, syscalls
from lemur_caption.contract.sandbox.audit import forbid_actions
from lemur_caption.contract.sandbox.limits import Policy
from lemur_caption.contract.sandbox.supervise import Protections, supervise

HEADER = struct.Struct("!Q")


def _answer(job: socket.socket) -> None:
    """One candidate: read the job, run it under supervision, hand on its messages and how it ended."""
    with job.makefile("rb") as stream:
        (size,) = HEADER.unpack(stream.read(HEADER.size))
        request = json.loads(stream.read(size))
    # A line counts only with the number that our own code in the child puts before it.
    nonce = secrets.token_hex(16)
    policy = Policy.from_dict(request["policy"])
    pending = bytearray()
    _send(job, {"kind": "supervisor", "pid": os.getpid()})

    def receive(data: bytes) -> None:
        pending.extend(data)
        *lines, rest = bytes(pending).split(b"\n")
        pending[:] = rest
        for line in lines:
            mark, _, text = line.partition(b" ")
            if mark == nonce.encode():
                job.sendall(text + b"\n")

    def child(pipe: int, states: Protections) -> None:
        _examine(request, nonce, pipe, states)

    ending = supervise(child, policy, receive, close=[job.fileno()])
    _send(job, {"kind": "ending"} | ending.to_dict())


def _send(job: socket.socket, message: dict[str, Any]) -> None:
    job.sendall(json.dumps(message).encode() + b"\n")


def _examine(request: dict[str, Any], nonce: str, pipe: int, states: Protections) -> None:
    """In the sandboxed child: run the contract's dynamic stages."""
    from lemur_caption.contract.dynamic.probe import FILE
    from lemur_caption.contract.dynamic.run import run_contract

    # Prints go nowhere: they can neither block on a full pipe nor fill a disk.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    write, mark = os.write, nonce.encode() + b" "

    def send(message: dict[str, Any]) -> None:
        data = mark + json.dumps(message).encode() + b"\n"
        while data:
            data = data[write(pipe, data) :]

    def stop(action: str, line: int | None) -> None:
        send({"kind": "ended", "outcome": "unsafe", "text": action, "line": line})
        os._exit(0)

    audit = request["policy"]["audit"]
    if audit:
        forbid_actions(FILE, stop)
    send({"kind": "protections", "states": states | {"audit_hook": audit}})
    run_contract(
        request["source"],
        profile=request["profile"],
        parameter_budget=request["policy"]["limits"]["parameters"],
        send=send,
    )
    os._exit(0)  # no exit handler, destructor or thread of the Net gets a turn


def _warm_up() -> None:
    """Run what every candidate needs once, so that each fork finds it loaded."""
    import psutil  # noqa: F401 - used by the supervisor
    import torch
    import torchvision  # noqa: F401 - for the Nets
    from torch import nn

    from lemur_caption.contract.dynamic import run  # noqa: F401 - for the child

    syscalls.library()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = nn.ModuleDict(
        {
            "conv": nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.GELU(), nn.AdaptiveAvgPool2d(1)),
            "lstm": nn.LSTM(8, 8, batch_first=True),
            "attention": nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
        }
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    memory = net["conv"](torch.randn(2, 3, 32, 32)).flatten(1).unsqueeze(1)
    states, _ = net["lstm"](memory.expand(-1, 4, -1))
    loss = nn.functional.cross_entropy(net["attention"](states, memory).flatten(0, 1), torch.arange(8))
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    with torch.device("meta"), torch.no_grad():
        nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)(torch.empty(1, 2, 8), torch.empty(1, 2, 8))
    del net, optimizer, memory, states, loss
    gc.collect()
    gc.freeze()  # keeps the collector of each fork from touching, and so copying, the pages that all share


if __name__ == "__main__":
    forkserver.serve(_warm_up, _answer)
