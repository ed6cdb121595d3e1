"""What a dynamic check works with: the Net's class, tiny synthetic batches, and a place for findings."""

from __future__ import annotations

import linecache
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from lemur_caption.contract.dynamic.rules import BY_ID
from lemur_caption.contract.report import Finding

PAD, SOS, EOS, UNK = 0, 1, 2, 3
FILE = "<candidate>"
# The sizes of the main probe. 83 words: a prime, so that no other axis has that length by chance.
BATCH, CHANNELS, SIZE, WORDS, CAPTIONS, LENGTH = 4, 3, 64, 83, 5, 10
MAX_TOKENS = 100
# What LEMUR runs nevertheless: layers that nothing uses, and what a few steps on a tiny set teach.
LENIENT_WARNINGS = frozenset({"LC404", "LC410", "LC509"})
SEED = 20


class Stop(Exception):
    """The checks cannot go on: an error makes the later ones meaningless."""


class Ended(Exception):
    """The Net ended as `unsafe`, `out_of_memory` or `runtime_error` rather than with a wrong answer."""

    def __init__(self, outcome: str, text: str, line: int | None):
        super().__init__(text)
        self.outcome, self.text, self.line = outcome, text, line


class Batches:
    """What LEMUR hands to `learn`: an iterator of (images, captions), good for one epoch, with a length."""

    def __init__(self, batches: list[tuple[torch.Tensor, torch.Tensor]]):
        self._length = len(batches)
        self._left = iter([(images.clone(), captions.clone()) for images, captions in batches])

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return self

    def __next__(self) -> tuple[torch.Tensor, torch.Tensor]:
        return next(self._left)

    def __len__(self) -> int:
        return self._length


@dataclass
class Probe:
    """One Net under examination. `net` is the main instance: CHANNELS x SIZE x SIZE images, WORDS words."""

    source: str
    strict: bool = True
    parameter_budget: int = 200_000_000
    findings: list[Finding] = field(default_factory=list)
    module: types.ModuleType | None = None
    net: Any = None
    # What forward gives with captions: `pair`, and in the lenient profile also `logits` or `loss`.
    returns: str = "pair"
    # Whether inference gives well-formed answers, and learn usable numbers: later checks need them.
    writes: bool = False
    learns: bool = False
    # Nets of other sizes, with the channels, image side, words and device of each.
    others: list[tuple[Any, int, int, int, str]] = field(default_factory=list)

    def add(self, rule: str, *, line: int | None = None, **values: object) -> None:
        """Report that the Net breaks a rule, the first time that it is seen to."""
        if any(finding.rule == rule for finding in self.findings):
            return
        finding = BY_ID[rule].finding(line, None, hint=None, **values)
        if not self.strict and rule in LENIENT_WARNINGS:
            finding = replace(finding, severity="warning")
        self.findings.append(finding)

    def line_of(self, name: str) -> int | None:
        """Where the method of Net is defined."""
        method = getattr(getattr(self.module, "Net", None), name, None)
        code = getattr(method, "__code__", None)
        return code.co_firstlineno if code is not None and code.co_filename == FILE else None

    def hyperparameters(self) -> dict[str, float]:
        """Values for every name that the Net asks for; LEMUR draws all but `lr` and `momentum` from [0, 1]."""
        names = set(self.module.supported_hyperparameters()) if self.module else set()
        return dict.fromkeys(sorted(names - {"lr", "momentum"}), 0.2) | {"lr": 1e-3, "momentum": 0.9}

    def build(self, channels: int, size: int, words: int, device: str = "cpu") -> Any:
        assert self.module is not None
        torch.manual_seed(SEED)
        shape = (BATCH, channels, size, size)
        return self.module.Net(shape, (words,), self.hyperparameters(), torch.device(device))

    def teach(self, images: torch.Tensor, captions: torch.Tensor, net: Any = None) -> torch.Tensor:
        """The logits [B, T-1, V] of teacher forcing. Only where `returns` is not `loss`."""
        out = (self.net if net is None else net)(images.clone(), captions.clone())
        logits: torch.Tensor = out[0] if isinstance(out, (tuple, list)) else out
        return logits

    @contextmanager
    def attempt(self, rule: str, line: int | None = None, **values: object) -> Iterator[None]:
        """Run code of the Net; what it raises becomes a finding of `rule`, and `Failed`.

        The rule's message gets it as `error`, and where `values` has a `problem`, in place of its "{error}". `line`
        is where to point when the error names no line of the Net.
        """
        try:
            yield
        except (Stop, Ended, Failed):
            raise
        except BaseException as error:  # the candidate may raise anything at all
            line = deepest_line(error) or line
            ended = ending_of(error, line)
            if ended is not None:
                raise ended from error
            values["problem"] = str(values.get("problem", "")).replace("{error}", describe(error))
            self.add(rule, line=line, error=describe(error), **values)
            raise Failed from error


class Failed(Exception):
    """A check has reported what the Net raised."""


def load(source: str) -> types.ModuleType:
    """Execute the source as a module of its own, with lines that tracebacks and `inspect` can show."""
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    module = types.ModuleType("candidate_net")
    module.__file__ = FILE
    sys.modules[module.__name__] = module
    exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)  # this process exists to run it
    return module


def deepest_line(error: BaseException) -> int | None:
    """The innermost line of the Net's file on the way to the error."""
    if isinstance(error, SyntaxError) and error.filename == FILE:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    return lines[-1] if lines else None


def describe(error: BaseException) -> str:
    """The error on one line, bounded."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def ending_of(error: BaseException, line: int | None) -> Ended | None:
    """The ending that an error stands for, or None where it is an ordinary mistake in the Net."""
    text = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
        return Ended("out_of_memory", describe(error), line)
    # torch opens files in C++ and gives no errno.
    if isinstance(error, PermissionError) or (isinstance(error, RuntimeError) and "cannot be opened" in text):
        return Ended("unsafe", f"was refused something ({describe(error)})", line)
    endless = isinstance(error, RecursionError) or "can't start new thread" in text
    if endless or not isinstance(error, Exception):
        return Ended("runtime_error", f"raised {describe(error)}", line)
    return None


def make_images(count: int, channels: int = CHANNELS, size: int = SIZE, seed: int = SEED) -> torch.Tensor:
    """Images like normalized photographs: smooth, each of its own brightness and pattern, values about -2 to 2."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, channels, 4, 4, generator=rng)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    shade = torch.linspace(-1.2, 1.2, max(count, 2))[:count].view(-1, 1, 1, 1)
    return smooth * 0.8 + shade + 0.1 * torch.randn(count, channels, size, size, generator=rng)


def make_captions(
    count: int, rows: int = CAPTIONS, length: int = LENGTH, words: int = WORDS, seed: int = SEED
) -> torch.Tensor:
    """Captions [count, rows, length]: <SOS>, words, <EOS>, padding.

    Words follow one another in a fixed cycle of nine that a row enters anywhere, so that the next word is
    certain given the last while each word is as frequent as the others, as an input and as a target.
    """
    rng = torch.Generator().manual_seed(seed)
    cycle = torch.arange(4, 4 + min(9, words - 4))
    captions = torch.zeros(count, rows, length, dtype=torch.long)
    for image in range(count):
        for row in range(rows):
            spoken = length - 2 - int(torch.randint(0, 3, (), generator=rng))
            start = int(torch.randint(0, len(cycle), (), generator=rng))
            captions[image, row, 0] = SOS
            captions[image, row, 1 : 1 + spoken] = cycle[(start + torch.arange(spoken)) % len(cycle)]
            captions[image, row, 1 + spoken] = EOS
    return captions


def shape_of(value: object) -> str:
    """A tensor's shape as a person reads it, or the type of anything else."""
    if isinstance(value, torch.Tensor):
        return f"[{', '.join(map(str, value.shape))}]"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)} ({', '.join(shape_of(item) for item in list(value)[:4])})"
    return type(value).__name__
