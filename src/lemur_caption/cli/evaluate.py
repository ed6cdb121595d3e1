"""`evaluate`: a trained Net captions the whole validation split, and the captions are scored and written down."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from ..errors import TrialError, UsageError
from . import options
from .console import err, out, print_json, progress
from .train import find_net

if TYPE_CHECKING:
    from ..lemur.store import Store


def evaluate(
    net: Annotated[str, typer.Argument(help="A Net file, or the name of a Net that LEMUR has.")],
    metrics: Annotated[str, typer.Option(help="Metrics, with commas; `meteor` needs Java.")] = "bleu-4,cider-d",
    captions: Annotated[
        Path | None, typer.Option(help="Write the captions here, in COCO's result format.", show_default=False)
    ] = None,
    beam: Annotated[int, typer.Option(min=1, max=64, help="Captions kept at every word; 1 is greedy.")] = 1,
    dataset: options.Dataset = "shapes",
    transform: Annotated[
        str | None, typer.Option(help="LEMUR image transform. Default: the one of the Net's training.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Training epochs where no weights are kept. Default: those of its best trial."),
    ] = None,
    batch: options.Batch = 32,
    timeout: Annotated[float | None, typer.Option(help="Minutes that captioning may take; default no limit.")] = None,
    data: options.Data = None,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Caption the whole validation split with a trained Net, score the captions and write them in COCO's format.

    The weights are those that `train --keep-weights` left. Where there are none, the Net is trained first with the
    hyperparameters of its best stored trial.
    """
    from ..lemur import evaluation, runner, weights
    from ..lemur.store import Store
    from ..lemur.trial import CaptionJob

    names = _metric_names(metrics)
    with contextlib.ExitStack() as stack:
        # First of all: nobody wants to learn after an hour that the captions cannot be written.
        target = stack.enter_context(_result_file(captions)) if captions else None
        store = Store.open(root, offline=offline)
        name, source, _ = find_net(net, store)
        if beam > 1 and not evaluation.has_beam_search(source):
            raise UsageError(f"{name} has no method `beam_search(images, beam_size)`; evaluate it with --beam 1")
        runner.check_names(store, dataset, transform)
        folder = runner.prepare_data(store, dataset, data)
        kept = weights.find(store.lemur.root, dataset, name, source, folder)
        if kept is None:
            _train(store, name, source, dataset, transform, epochs, data)
            kept = weights.find(store.lemur.root, dataset, name, source, folder)
            assert kept is not None, "training has just kept them"
        job = CaptionJob(source, dataset, transform or kept.prm["transform"], kept.prm, batch, beam)
        runner.check_names(store, dataset, job.transform)
        with progress() as bar:
            bar.add_task(f"captioning with {name}", total=None)
            found = evaluation.evaluate(
                name, job, kept, names, folder, timeout_seconds=timeout * 60 if timeout else None
            )
        if target is not None:
            json_module.dump(found.captions, target)
    told = {"name": name, "dataset": dataset, "transform": job.transform, "beam": beam, "images": found.images}
    if json:
        told |= {"metrics": found.metrics, "captions": str(captions) if captions else None, "weights": str(kept.path)}
        print_json(told)
        return
    values = "  ".join(f"{metric} {value:.4f}" for metric, value in found.metrics.items())
    how = f"beam {beam}" if beam > 1 else "greedy"
    out.print(f"{name}  {dataset}  {found.images} images  {job.transform}  {how}  {values}")
    if captions:
        out.print(f"captions in {captions}")


def _metric_names(metrics: str) -> Sequence[str]:
    """The metrics asked for, each known and usable here. Raises UsageError."""
    from ..metrics import score

    names = list(dict.fromkeys(name.strip() for name in metrics.split(",") if name.strip()))
    if not names:
        raise UsageError("no metric is given; try --metrics bleu-4,cider-d")
    # Names, and what `meteor` needs on this machine, are found out on one caption.
    score([["word"]], [[["word"]]], names)
    return names


@contextlib.contextmanager
def _result_file(path: Path) -> Iterator[IO[str]]:
    """A file beside `path` that takes its place when all went well. Raises UsageError where that cannot be."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no plain file; give --captions a file to write")
    try:
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise UsageError(
            f"the captions cannot be written to {path} ({error.strerror}); give --captions a file in a folder that exists"
        ) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    finally:
        Path(scratch).unlink(missing_ok=True)


def _train(
    store: Store, name: str, source: str, dataset: str, transform: str | None, epochs: int | None, data: Path | None
) -> None:
    """Train a Net without weights as its best stored trial did. Raises UsageError where LEMUR knows of none."""
    from ..lemur import evaluation, runner

    job = evaluation.best_trial(store, name, source, dataset)
    if job is None:
        raise UsageError(
            f"{name} has neither kept weights nor results on {dataset}; "
            f"train it first: lemur-caption train {name} --dataset {dataset} --keep-weights"
        )
    job.transform, job.epochs = transform or job.transform, epochs or job.epochs
    err.print(
        f"no weights of {name} are kept for {dataset}: training it first, {job.epochs} epochs of batch {job.batch}, "
        f"lr {job.lr:g}, momentum {job.momentum:g}, {job.transform}",
        soft_wrap=True,
    )
    with progress() as bar:
        task = bar.add_task(f"training {name}", total=job.epochs)
        trial = runner.train(store, job, name=name, data=data, on_epoch=lambda epoch: bar.advance(task))
    if not trial.outcome.success:
        raise TrialError(f"{name} could not be trained again: {trial.outcome.value} ({trial.detail})")
