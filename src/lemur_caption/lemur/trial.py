"""The child process in which LEMUR's own runner trains one Net: `python -m lemur_caption.lemur.trial JOB`.

It works in a scratch LEMUR root (its working directory), so that generated code never meets the
real store. What it learns it leaves there: LEMUR's `stat/<epoch>.json` files, `samples.json` with
the trained Net's captions, and last `result.json` (see `runner`).
"""

from __future__ import annotations

import json
import os
import random
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SAMPLES = 3


@dataclass
class TrialJob:
    """One training trial: `check_nn`'s arguments. `threads` 0 takes all cores that there are."""

    source: str
    dataset: str
    metric: str
    transform: str
    family: str = ""
    epochs: int = 3
    batch: int = 32
    lr: float = 1e-3
    momentum: float = 0.9
    seed: int = 0
    threads: int = 0
    epoch_limit_minutes: int = 30

    def prm(self) -> dict[str, Any]:
        """The hyperparameters as LEMUR takes and stores them."""
        return {
            "lr": self.lr,
            "momentum": self.momentum,
            "batch": self.batch,
            "epoch": self.epochs,
            "transform": self.transform,
        }

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def _describe_trained(trainer: Any) -> dict[str, Any]:
    """Size of the trained Net, and its captions for evenly spaced validation images with one reference each."""
    import torch

    validation = trainer.test_dataset
    last = len(validation) - 1
    chosen = sorted({round(step * last / (SAMPLES - 1)) for step in range(SAMPLES)})
    images, captions = validation.collate_fn([validation[index] for index in chosen])
    trainer.model.eval()
    with torch.no_grad():
        output = trainer.model(images.to(trainer.device))
    ids = output.argmax(-1) if output.dim() == 3 else output
    decode = validation.vocabulary.decode
    samples = [
        {"image": validation.file_names[index], "caption": decode(row), "reference": decode(rows[0])}
        for index, row, rows in zip(chosen, ids.tolist(), captions.tolist(), strict=True)
    ]
    return {"parameters": sum(p.numel() for p in trainer.model.parameters()), "samples": samples}


def run(job: TrialJob) -> dict[str, Any]:
    """Train `job` with LEMUR's `check_nn` in the working directory, which must be a root of its own."""
    import numpy
    import torch
    from ab.nn.util.db.Init import init_db

    init_db()
    from ab.nn.api import check_nn

    from . import compat
    from .loading import TASK

    random.seed(job.seed)
    numpy.random.seed(job.seed % 2**32)
    torch.manual_seed(job.seed)
    if job.threads:
        torch.set_num_threads(job.threads)

    def keep(trainer: Any) -> None:
        Path("samples.json").write_text(json.dumps(_describe_trained(trainer)), encoding="utf-8")

    compat.after_training(keep)
    *_, quality = check_nn(
        job.source,
        TASK,
        job.dataset,
        job.metric,
        job.prm(),
        prefix=job.family or None,
        save_path="stat",
        epoch_limit_minutes=job.epoch_limit_minutes,
    )
    return {"error": None, "quality": quality}


def main() -> None:
    job = TrialJob(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    try:
        result = run(job)
    except BaseException as error:  # noqa: BLE001  # whatever a Net raises is its outcome
        # The parent decides what this means; it needs the class, the words and where it happened.
        result = {
            "error": type(error).__name__,
            "message": str(error) or type(error).__name__,
            "frames": traceback.format_exception(error)[-3:],
            "errno": getattr(error, "errno", None),
        }
    Path("result.json.part").write_text(json.dumps(result), encoding="utf-8")
    Path("result.json.part").replace("result.json")
    # A Net may have left threads that never end.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
