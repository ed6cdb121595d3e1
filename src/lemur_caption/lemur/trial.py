"""The child process in which a Net runs: LEMUR's own runner trains it, or it captions the validation split.

`python -m lemur_caption.lemur.trial JOB` works in a scratch LEMUR root (its working directory), so that
generated code never meets the real store. What it learns it leaves there: of a TrialJob LEMUR's
`stat/<epoch>.json` files, `samples.json` with the trained Net's captions and, if wanted, its weights; of a
CaptionJob `captions.json`; last of either `result.json` (see `runner` and `evaluation`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError

SAMPLES = 3
WEIGHTS = "weights.pt"
CAPTIONS = "captions.json"


@dataclass
class TrialJob:
    """One training trial: `check_nn`'s arguments. `threads` 0 takes all cores that there are.

    `captions` (`five` or `one` random one an image) and `batches` (`shuffled`, or `bucketed` by caption length) say how
    training batches are made. `keep_weights` has the weights after the last epoch left in the scratch folder.
    """

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
    captions: str = "five"
    batches: str = "shuffled"
    keep_weights: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("captions", ("five", "one")), ("batches", ("shuffled", "bucketed"))):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is '{getattr(self, name)}'; give {' or '.join(choices)}")

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
        return json.dumps({"train": asdict(self)})


@dataclass
class CaptionJob:
    """Captioning the whole validation split with trained weights; `prm` are the hyperparameters of their training."""

    source: str
    dataset: str
    transform: str
    prm: dict[str, Any]
    batch: int = 32
    beam_size: int = 1
    seed: int = 0
    threads: int = 0

    def to_json(self) -> str:
        return json.dumps({"caption": asdict(self)})


class WeightsError(Exception):
    """The weights are not those of the Net."""


def _describe_trained(trainer: Any) -> dict[str, Any]:
    """Size and structure of the trained Net, and its captions for evenly spaced validation images with one reference each."""
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
    size = sum(p.numel() for p in trainer.model.parameters())
    return {"parameters": size, "samples": samples} | _structure(trainer, images[:1])


def _structure(trainer: Any, image: Any) -> dict[str, Any]:
    """FLOPs and parts of the trained Net, or None of either and in `unread` why; see `structure`."""
    from . import structure

    validation = trainer.test_dataset
    # The caption without padding that is longest, so that FLOPs of one data set compare.
    caption = max(validation.labels(int(validation.lengths.argmax())), key=lambda row: int(row.count_nonzero()))
    try:
        flops, parts = structure.describe(trainer.model, image.to(trainer.device), caption[None].to(trainer.device))
    except Exception as error:  # noqa: BLE001  # a stranger's Net runs here, and it has trained, whatever happens now
        reason = (str(error).strip().splitlines() or [""])[0]
        unread = f"its parts and FLOPs could not be read ({type(error).__name__}: {reason})"
        return {"flops": None, "parts": None, "unread": unread}
    return {"flops": flops, "parts": parts, "unread": ""}


def _make_schema() -> None:
    """Give the scratch root LEMUR's empty database, without which `ab.nn.api` cannot be imported."""
    from ab.nn.util.db.Init import init_db

    init_db()


def _seed(job: TrialJob | CaptionJob) -> None:
    """Seed all that is random, after the imports: what they draw must not move a result."""
    import numpy
    import torch

    random.seed(job.seed)
    numpy.random.seed(job.seed % 2**32)
    torch.manual_seed(job.seed)
    if job.threads:
        torch.set_num_threads(job.threads)


def train(job: TrialJob) -> dict[str, Any]:
    """Train `job` with LEMUR's `check_nn` in the working directory, which must be a root of its own."""
    _make_schema()
    from ab.nn.api import check_nn

    from . import compat
    from .loading import BATCHES_VARIABLE, CAPTIONS_VARIABLE, TASK

    os.environ[CAPTIONS_VARIABLE], os.environ[BATCHES_VARIABLE] = job.captions, job.batches
    _seed(job)

    def keep(trainer: Any) -> None:
        if job.keep_weights:
            import torch

            torch.save(trainer.model.state_dict(), WEIGHTS)
        Path("samples.json").write_text(json.dumps(_describe_trained(trainer)), encoding="utf-8")

    seconds = compat.time_stages()
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
    return {"error": None, "quality": quality, "seconds": seconds}


def caption(job: CaptionJob) -> dict[str, Any]:
    """Write the ids that the Net, with the weights beside it, gives for each validation image, in the split's order."""
    _make_schema()
    import torch
    from ab.nn.util.Loader import load_dataset
    from ab.nn.util.Util import get_in_shape, test_loader_f, torch_device

    from .loading import TASK

    _seed(job)
    out_shape, _, train_set, validation = load_dataset(TASK, job.dataset, job.transform)
    device = torch_device()
    net = _net_module(job.source).Net(get_in_shape(train_set, 0), out_shape, job.prm, device).to(device)
    # As LEMUR does before training: some Nets make parameters there.
    net.train_setup(job.prm)
    try:
        net.load_state_dict(torch.load(WEIGHTS, map_location=device, weights_only=True))
    except Exception as error:
        # torch says it in many lines and by many classes.
        raise WeightsError(str(error).strip().splitlines()[0] if str(error).strip() else repr(error)) from error
    net.eval()
    rows: list[list[int]] = []
    with torch.no_grad():
        for images, _ in test_loader_f(validation, job.batch, 0):
            images = images.to(device)
            output = net.beam_search(images, job.beam_size) if job.beam_size > 1 else net(images)
            rows += (output.argmax(-1) if output.dim() == 3 else output).tolist()
    Path(CAPTIONS).write_text(json.dumps(rows), encoding="utf-8")
    return {"error": None}


def _net_module(source: str) -> Any:
    """The Net's file as a module, in the scratch root."""
    path = Path("net_to_evaluate.py")
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(path: Path) -> None:
    """Do the job that the file describes, and end this process."""
    [(work, job)] = json.loads(path.read_text(encoding="utf-8")).items()
    try:
        result = train(TrialJob(**job)) if work == "train" else caption(CaptionJob(**job))
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
    main(Path(sys.argv[1]))
