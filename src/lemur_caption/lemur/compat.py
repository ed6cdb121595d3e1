"""The places where LEMUR itself must be changed at run time, and why no registered file would do.

All are guarded by LEMUR's version, or by what its code says, and touch only the child processes that are lemur-caption's own.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from packaging.version import Version

from ..errors import StoreError
from .root import lemur_version

# Raise the upper bound after reading `ab.nn.util.Train` of the new release.
_FIRST, _BEYOND = Version("2.2.11"), Version("2.3")


def _runner() -> type[Any]:
    """LEMUR's `Train`, once its version and the methods that we change are what we know."""
    from ab.nn.util.Train import Train

    release = lemur_version()
    if not _FIRST <= Version(release) < _BEYOND or "loss.item()" not in inspect.getsource(Train._compute_loss):
        raise StoreError(
            f"nn-dataset {release} measures losses in a way that this lemur-caption does not know; "
            "install nn-dataset==2.2.11 or a newer lemur-caption"
        )
    return Train  # type: ignore[no-any-return]  # LEMUR is untyped


def _runner_module() -> Any:
    """LEMUR's module of `Train`, once its version and the loader that we change are what we know."""
    from ab.nn.util import Train as module

    _runner()
    if hasattr(module.train_loader_f, "lemur_caption"):
        return module
    if list(inspect.signature(module.train_loader_f).parameters) != ["train_dataset", "batch", "num_workers"]:
        raise StoreError(
            f"nn-dataset {lemur_version()} loads batches in a way that this lemur-caption does not know; "
            "leave out `--batches bucketed`"
        )
    return module


def measure_teacher_forced_loss() -> None:
    """Make LEMUR's `test_loss` the teacher-forced validation loss of Nets that return logits.

    `Train._compute_loss` calls `.item()` on what `model(images, captions)` gives, swallows the
    error that a `(logits, hidden_state)` raises there, and stores 0.0. The method is not reachable
    from a Net, a metric or a loader. Calling this again changes nothing.
    """
    runner = _runner_if_unchanged("_compute_loss")
    if runner is None:
        return
    original = runner._compute_loss

    @functools.wraps(original)
    def _compute_loss(self: Any, data_loader: Any) -> float:
        from ..dataset.coco import CaptionDataset

        if not isinstance(self.test_dataset, CaptionDataset):
            return float(original(self, data_loader))
        return validation_loss(self.model, data_loader, self.device)

    _compute_loss.lemur_caption = True  # type: ignore[attr-defined]  # the mark that a second call looks for
    runner._compute_loss = _compute_loss


def bucket_batches() -> None:
    """Have LEMUR train on batches of captions about equally long, where a training set's `bucketed` is set.

    LEMUR makes its loader itself, of shuffled items, and lets a dataset choose the collation and the workers alone.
    """
    runner = _runner_module()
    original = runner.train_loader_f
    if hasattr(original, "lemur_caption"):
        return

    def train_loader_f(train_dataset: Any, batch: int, num_workers: int) -> Any:
        if not getattr(train_dataset, "bucketed", False):
            return original(train_dataset, batch, num_workers)
        from torch.utils.data import DataLoader

        from ..dataset.batches import BucketedBatches

        sampler = BucketedBatches(train_dataset.lengths, batch)
        workers = getattr(train_dataset, "num_workers", num_workers)
        return DataLoader(
            train_dataset, batch_sampler=sampler, collate_fn=train_dataset.collate_fn, num_workers=workers
        )

    train_loader_f.lemur_caption = True  # type: ignore[attr-defined]  # the mark that a second call looks for
    runner.train_loader_f = train_loader_f


def after_training(callback: Callable[[Any], None]) -> None:
    """Call `callback(trainer)` with LEMUR's trainer when a trial's last epoch has been measured.

    `check_nn` drops the trained model before it returns, and its only way to keep weights is a
    checkpoint of every best epoch in the root; captions of the trained Net need the model itself.
    """
    runner = _runner()
    original = runner.train_n_eval

    @functools.wraps(original)
    def train_n_eval(self: Any, *args: Any, **options: Any) -> Any:
        result = original(self, *args, **options)
        callback(self)
        return result

    runner.train_n_eval = train_n_eval


def time_stages() -> dict[str, float]:
    """Measure, from now on, how many seconds LEMUR rates code (`quality`) and trains and evaluates (`training`).

    Nothing is changed by it. LEMUR's own `duration` leaves out an epoch's evaluation, and its rating has none.
    """
    from ab.nn.util import CodeEval

    seconds = {"quality": 0.0, "training": 0.0}
    _time(CodeEval, "evaluate_single_file", "quality", seconds)
    _time(_runner(), "train_n_eval", "training", seconds)
    return seconds


def rate_here(example: str) -> None:
    """Have LEMUR rate code with pylint in this process and its forks, and rate the file `example` to begin with.

    LEMUR starts the program anew for every Net, and nearly all that it does is to read torch: six seconds against two tenths,
    with the same findings, where what it has read stays in memory. Its arguments are LEMUR's own. Changes nothing where
    LEMUR's `run_pylint` starts no program any more.
    """
    from ab.nn.util import CodeEval

    if "subprocess.run(" in inspect.getsource(CodeEval.run_pylint):
        CodeEval.subprocess = _Programs
        CodeEval.run_pylint(example)


class _Programs:
    """What LEMUR's `CodeEval` uses of `subprocess`, with pylint as a function."""

    PIPE = subprocess.PIPE

    @staticmethod
    def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if command[0] != "pylint":
            return subprocess.run(command, **options)
        from pylint.lint import Run

        told = io.StringIO()
        try:
            with contextlib.redirect_stdout(told):
                Run(list(command[1:]), exit=False)
        except (Exception, SystemExit):  # noqa: BLE001  # a program that fails over a stranger's code prints nothing
            traceback.print_exc(file=sys.stderr)
            return subprocess.CompletedProcess(command, 1, "", "")
        return subprocess.CompletedProcess(command, 0, told.getvalue(), "")


def _time(owner: Any, name: str, stage: str, seconds: dict[str, float]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def timed(*args: Any, **options: Any) -> Any:
        started = time.monotonic()
        try:
            return original(*args, **options)
        finally:
            seconds[stage] += time.monotonic() - started

    setattr(owner, name, timed)


def _runner_if_unchanged(method: str) -> type[Any] | None:
    from ab.nn.util.Train import Train

    return None if hasattr(getattr(Train, method), "lemur_caption") else _runner()


def validation_loss(model: Any, data_loader: Any, device: Any) -> float:
    """Mean loss a token, in nats, of the Net's own criterion under teacher forcing.

    As LEMUR does, each image counts with its first caption: images [B, C, H, W], captions [B, R, T]
    -> model(images, captions[:, 0]) -> logits [B, T-1, V] against captions[:, 0, 1:]. Batches are
    weighted by their tokens, padding (0) excluded. A Net that returns its loss is taken at its word,
    each batch weighted alike. NaN where the data hold no token.
    """
    import torch

    criterion = getattr(model, "criterion", None) or torch.nn.CrossEntropyLoss(ignore_index=0)
    total, weight = 0.0, 0
    model.eval()
    with torch.no_grad():
        for images, captions in data_loader:
            first = (captions[:, 0] if captions.dim() == 3 else captions).to(device)
            output = model(images.to(device), first)
            output = output[0] if isinstance(output, tuple) else output
            if output.dim() == 0:
                total, weight = total + float(output), weight + 1
                continue
            targets = first[:, 1:]
            tokens = int((targets != 0).sum())
            if tokens:
                loss = criterion(output.reshape(-1, output.shape[-1]), targets.reshape(-1))
                total, weight = total + float(loss) * tokens, weight + tokens
    return total / weight if weight else float("nan")
