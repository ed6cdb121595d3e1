"""What a Net computes, as one short text: the same for Nets that differ in names and layout alone.

A fresh Net is built, set up, taught two epochs of one batch each, asked for logits and made to caption, and every
operation that reaches torch's dispatcher meanwhile is written down: its name, the numbers, shapes and types of its
arguments, and which earlier results they are. That covers layers with their widths and their order, initialization, dropout,
loss, backward pass, optimizer, learning rate and clipping. The fingerprint is a digest of that list.

Only equal fingerprints say something. What takes other paths than these (the schedule of the tenth epoch, say) is not
seen, and the fingerprint depends on torch's version and on the processor's kernels, so it is not for keeping across machines.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from lemur_caption.contract.dynamic.force import ForceTokens, TooLong
from lemur_caption.contract.dynamic.probe import (
    CHANNELS,
    MAX_TOKENS,
    SEED,
    SIZE,
    WORDS,
    Batches,
    Probe,
    make_captions,
    make_images,
)

IMAGES = 2
# On the processor; a pocket Net takes about a third of one, and some thousands of operations.
MOST_SECONDS = 5.0
MOST_OPERATIONS = 200_000
PLAIN = (bool, int, str, complex, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)


class Spent(Exception):
    """The Net does more than a fingerprint may cost."""


class Recorder(TorchDispatchMode):
    """Digests every operation in its context. Raises Spent from within the Net, and stays `spent`, past the bounds."""

    def __init__(self, most_seconds: float):
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self.digest = hashlib.sha256()
        self.operations = 0
        self.spent = False
        self._until = time.process_time() + most_seconds
        # Weak, so that recording keeps no activation alive.
        self._numbers: Any = WeakTensorKeyDictionary()  # type: ignore[no-untyped-call]
        self._next = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.operations += 1
        if self.operations % 100 == 0 and not self.spent:  # asking for the time is dear under some kernels
            self.spent = self.operations > MOST_OPERATIONS or time.process_time() > self._until
        if self.spent:
            raise Spent
        # Read before the call: an operation may change its arguments' shapes in place.
        asked = f"{func}({self._text(args)};{self._text(kwargs or {})})"
        out = func(*args, **(kwargs or {}))
        # A number read out of a tensor is data, and its last digits are chance.
        told = "" if isinstance(out, (bool, int, float)) else self._text(out)
        self.digest.update(f"{asked}->{told}\n".encode())
        return out

    def _text(self, value: Any) -> str:
        if isinstance(value, torch.Tensor):
            number = self._numbers.get(value)
            if number is None:
                number = self._numbers[value] = self._next = self._next + 1
            return f"t{number}{list(value.shape)}{value.dtype}"
        if isinstance(value, (list, tuple)):
            return f"[{','.join(map(self._text, value))}]"
        if isinstance(value, dict):
            return ",".join(f"{name}={self._text(item)}" for name, item in sorted(value.items()))
        if isinstance(value, float):
            return f"{value:.6g}"
        if isinstance(value, PLAIN):
            return repr(value)
        return type(value).__name__  # the text of anything else may hold its address


def fingerprint(probe: Probe, most_seconds: float = MOST_SECONDS) -> str | None:
    """The fingerprint of a Net that the contract's stages have passed, 64 hexadecimal digits.

    None where it would cost more than `most_seconds` or MOST_OPERATIONS, or the Net raises.
    """
    recorder = Recorder(most_seconds)
    random.seed(SEED)
    try:
        with recorder:
            _work(probe)
    except Exception:  # noqa: BLE001 - a Net may raise anything; without a fingerprint nothing is called its duplicate
        return None
    # A Net that catches all exceptions also catches ours.
    return None if recorder.spent else recorder.digest.hexdigest()


def _work(probe: Probe) -> None:
    """All that a Net does in a trial, once, on a tiny batch."""
    images, captions = make_images(IMAGES), make_captions(IMAGES)
    net = probe.build(CHANNELS, SIZE, WORDS)
    net.train_setup(probe.hyperparameters())
    for _ in range(2):
        net.learn(Batches([(images, captions)]))
    net.eval()
    with torch.no_grad():
        net(images.clone(), captions[:, 0].clone())
        # Told what to say, a Net writes as long as it ever does, whatever it has learned.
        told = ForceTokens(WORDS, lambda step: [4 + step % (WORDS - 4)] * IMAGES, most=MAX_TOKENS)
        with contextlib.suppress(TooLong), told:
            net(images.clone())
