"""Runs all dynamic stages on one Net. Called in the sandboxed child; also usable directly on code that is trusted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from lemur_caption.contract.dynamic.build import check_build
from lemur_caption.contract.dynamic.fingerprint import fingerprint
from lemur_caption.contract.dynamic.meaning import check_meaning, check_sees_image
from lemur_caption.contract.dynamic.probe import CHANNELS, SIZE, WORDS, Ended, Failed, Probe, Stop
from lemur_caption.contract.dynamic.shapes import check_shapes
from lemur_caption.contract.dynamic.training import check_training

Send = Callable[[dict[str, Any]], None]


def run_contract(source: str, *, profile: str, parameter_budget: int, send: Send) -> None:
    """Examine a Net and `send` messages: `stage` as one begins, its `finding`s and `seconds`, and at the end the
    `fingerprint` of a sound Net and `done`, or `ended` with an outcome."""
    torch.set_num_threads(1)
    probe = Probe(source, strict=profile == "strict", parameter_budget=parameter_budget)
    stages: list[tuple[str, Callable[[Probe], None]]] = [
        ("build", check_build),
        ("shapes", check_shapes),
        ("training", _training),
        ("meaning", check_meaning),
    ]
    for name, check in stages:
        send({"kind": "stage", "stage": name})
        started = time.perf_counter()
        known = len(probe.findings)
        go_on = True
        try:
            check(probe)
        except Stop:
            go_on = False
        except Failed:
            go_on = True
        except Ended as ended:
            send({"kind": "ended", "outcome": ended.outcome, "text": ended.text, "line": ended.line})
            return
        for finding in probe.findings[known:]:
            send({"kind": "finding", **finding.to_dict()})
        send({"kind": "seconds", "stage": name, "seconds": time.perf_counter() - started})
        if not go_on:
            break
    if go_on and not any(finding.severity == "error" for finding in probe.findings):
        send({"kind": "fingerprint", "fingerprint": fingerprint(probe)})
    send({"kind": "done"})


def _training(probe: Probe) -> None:
    probe.net.eval()
    check_sees_image(probe, "LC502")
    try:
        check_training(probe)
    except Stop:
        # What the Net means can still be asked, of a fresh one.
        probe.net = probe.build(CHANNELS, SIZE, WORDS)
        probe.net.train_setup(probe.hyperparameters())
        return
    probe.net.eval()
    if not any(finding.rule == "LC502" for finding in probe.findings):
        check_sees_image(probe, "LC503")
