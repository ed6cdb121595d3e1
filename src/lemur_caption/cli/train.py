"""`train`: LEMUR's own runner trains Nets, each in a child process, and LEMUR's store keeps every epoch."""

from __future__ import annotations

import enum
import functools
import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from ..candidate import Epoch
from ..errors import UsageError
from . import options
from .console import out, print_json, progress

DEFAULT_LR = 1e-3
DEFAULT_MOMENTUM = 0.9


class Contract(str, enum.Enum):
    """The contract's profiles, and none of it."""

    STRICT = "strict"
    LENIENT = "lenient"
    OFF = "off"


def train(
    nets: Annotated[
        list[str], typer.Argument(metavar="NET", help="Net files, or names of Nets that LEMUR has (CaptionLSTM).")
    ],
    dataset: options.Dataset = "shapes",
    metric: options.Metric = "bleu-4",
    transform: options.Transform = "norm_64",
    epochs: options.Epochs = 3,
    batch: options.Batch = 32,
    captions: options.Captions = "five",
    batches: options.Batches = "shuffled",
    lr: Annotated[
        float | None, typer.Option(help="Learning rate. Default: what the Net's design says, else 0.001.")
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum. Default: what the Net's design says, else 0.9.")
    ] = None,
    seed: options.Seed = 0,
    timeout: Annotated[float | None, typer.Option(help="Minutes a Net may take; default no limit.")] = None,
    contract: Annotated[
        Contract, typer.Option(help="What to hold each Net to before it is trained.")
    ] = Contract.STRICT,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the weights after the last epoch, for `evaluate`.")
    ] = False,
    data: options.Data = None,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Train captioning Nets with LEMUR's runner and keep every epoch in LEMUR's database."""
    from ..contract import validate
    from ..lemur import runner
    from ..lemur.store import Store
    from ..lemur.trial import TrialJob

    store = Store.open(root, offline=offline)
    results: list[dict[str, Any]] = []
    with progress() as bar:
        for name, source, suggested in [find_net(net, store) for net in nets]:
            task = bar.add_task(f"training {name}", total=epochs)
            report = None if contract is Contract.OFF else validate(source, profile=contract.value)
            if report is not None and not report.ok:
                findings = [finding.to_dict() for finding in report.findings]
                results.append({"name": name, "findings": findings, "outcome": report.outcome, "epochs": []})
                continue
            job = TrialJob(
                source=source,
                dataset=dataset,
                metric=metric,
                transform=transform,
                epochs=epochs,
                batch=batch,
                lr=lr if lr is not None else suggested.get("lr", DEFAULT_LR),
                momentum=momentum if momentum is not None else suggested.get("momentum", DEFAULT_MOMENTUM),
                seed=seed,
                captions=captions,
                batches=batches,
                keep_weights=keep_weights,
            )
            trial = runner.train(
                store,
                job,
                name=name,
                data=data,
                timeout_seconds=timeout * 60 if timeout else None,
                on_epoch=functools.partial(_advance, bar, task),
            )
            results.append({"name": name, "findings": [], **asdict(trial)})
    failed = any(not result["outcome"].success for result in results)
    if json:
        print_json([result | {"database": str(store.lemur.database)} for result in results])
    else:
        for result in results:
            scores = "  ".join(f"{metric} {epoch['accuracy']:.4f}" for epoch in result["epochs"])
            out.print(f"{result['name']}  {result['outcome'].value}  {scores}")
            kept = f"weights in {result['weights']}" if result.get("weights") else ""
            for line in [result.get("detail", ""), kept, *(f"{f['rule']} {f['message']}" for f in result["findings"])]:
                if line:
                    out.print(f"  {line}")
        out.print(f"kept in {store.lemur.database}")
    raise typer.Exit(1 if failed else 0)


def _advance(bar: Progress, task: TaskID, epoch: Epoch) -> None:
    bar.advance(task)


def find_net(net: str, store: Any) -> tuple[str, str, dict[str, float]]:
    """A Net's LEMUR name, its source, and the hyperparameters that its design suggests."""
    from ..lemur.registry import code_id

    path = Path(net)
    if path.suffix != ".py" and not path.exists():
        return net, store.net_source(net), _suggested(store.lemur.root / "out" / "lemur-caption" / f"{net}.json")
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the Net file {path} cannot be read ({error}); give a Python file in UTF-8") from error
    if path.stem in store.net_names() and store.net_source(path.stem) == source:
        return path.stem, source, _suggested(path.with_suffix(".json"))
    # LEMUR splits `task_dataset_metric_net` at underscores, so a Net's name has none.
    prefix = path.stem.removesuffix("-" + code_id(source)).replace("_", "-")
    return f"{prefix}-{code_id(source)}", source, _suggested(path.with_suffix(".json"))


def _suggested(trail: Path) -> dict[str, float]:
    """The `lr` and `momentum` of the design in a candidate's trail; empty where there is none."""
    if not trail.exists():
        return {}
    design = json_module.loads(trail.read_text(encoding="utf-8")).get("design") or {}
    return {key: float(design[key]) for key in ("lr", "momentum") if key in design}
