"""`tune`: Optuna trials of Nets through LEMUR's own entry point, as many as LEMUR asks of a contribution."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from ..candidate import Epoch
from . import options
from .console import out, print_json, progress
from .train import Contract, find_net


def tune(
    nets: Annotated[list[str], typer.Argument(metavar="NET", help="Net files, or names of Nets that LEMUR has.")],
    trials: Annotated[int, typer.Option(min=1, help="Trials a Net has in the end; those that are stored count.")] = 10,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs a trial.")] = 5,
    dataset: options.Dataset = "shapes",
    metric: options.Metric = "bleu-4",
    transform: Annotated[
        str, typer.Option(help="LEMUR image transform, or several with commas to draw from.")
    ] = "norm_64",
    lr: Annotated[tuple[float, float], typer.Option(help="Bounds of the learning rate.")] = (1e-5, 1.0),
    batch: Annotated[tuple[int, int], typer.Option(help="Bounds of the batch, powers of two.")] = (8, 128),
    seed: options.Seed = 0,
    timeout: Annotated[float | None, typer.Option(help="Minutes a Net may take in all; default no limit.")] = None,
    contract: Annotated[Contract, typer.Option(help="What to hold each Net to first.")] = Contract.STRICT,
    data: options.Data = None,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Have LEMUR draw hyperparameters and train each Net with them; every finished trial is kept in its database.

    An interrupted call goes on where it was: it only makes the trials that are missing. Exit code 1 where a Net has
    fewer in the end.
    """
    from ..contract import validate
    from ..lemur.store import Store
    from ..lemur.tuning import Tuned, TuneJob
    from ..lemur.tuning import tune as run

    store = Store.open(root, offline=offline)
    jobs = [
        TuneJob(
            name=name,
            source=source,
            dataset=dataset,
            metric=metric,
            trials=trials,
            epochs=epochs,
            transforms=tuple(part.strip() for part in transform.split(",")),
            lr=lr,
            batch=batch,
            seed=seed,
        )
        for name, source, _ in (find_net(net, store) for net in nets)
    ]
    results: list[dict[str, Any]] = []
    with progress() as bar:
        for job in jobs:
            task = bar.add_task(f"tuning {job.name}", total=trials)
            report = None if contract is Contract.OFF else validate(job.source, profile=contract.value)
            if report is not None and not report.ok:
                tuned = Tuned(0, detail="; ".join(f"{f.rule} {f.message}" for f in report.findings))
            else:
                tuned = run(
                    store,
                    job,
                    data=data,
                    timeout_seconds=timeout * 60 if timeout else None,
                    on_trial=functools.partial(_advance, bar, task),
                )
            enough = tuned.present + len(tuned.trials) >= trials
            results.append({"name": job.name, "enough": enough, **asdict(tuned)})
    if json:
        print_json([result | {"database": str(store.lemur.database)} for result in results])
    else:
        for result in results:
            _tell(result, trials, metric)
        out.print(f"kept in {store.lemur.database}", markup=False)
    raise typer.Exit(0 if all(result["enough"] for result in results) else 1)


def _advance(bar: Progress, task: TaskID, epochs: list[Epoch]) -> None:
    bar.advance(task)


def _tell(result: dict[str, Any], trials: int, metric: str) -> None:
    count = result["present"] + len(result["trials"])
    out.print(f"{result['name']}  {count} of {trials} trials, {len(result['trials'])} of them new", markup=False)
    for epochs in result["trials"]:
        prm = epochs[0]["prm"]
        scores = " ".join(f"{epoch['accuracy']:.4f}" for epoch in epochs)
        drawn = f"lr {prm['lr']:.2e}  momentum {prm['momentum']:.2f}  batch {prm['batch']}  {prm['transform']}"
        out.print(f"  {drawn}  {metric} {scores}", markup=False)
    if not result["enough"]:
        out.print(f"  {result['detail'] or 'LEMUR gave up without a word'}", markup=False)
