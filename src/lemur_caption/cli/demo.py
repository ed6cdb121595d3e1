"""`demo`: the main job from end to end, at a size that a laptop finishes in minutes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.progress import Progress, TaskID
from rich.table import Table

from ..candidate import Candidate, Epoch, Outcome, short_name
from . import options
from .console import err, out, print_json, progress

if TYPE_CHECKING:
    from ..lemur.runner import TrialResult
    from ..lemur.store import Store

DATASET, METRIC, TRANSFORM = "shapes", "bleu-4", "norm_64"
# A language model repeats itself now and then; so many answers a wanted Net are asked for at most.
MOST_ANSWERS_A_NET = 4


@dataclass
class Entry:
    """A row of the demo's table: the candidate and, once trained, what LEMUR's runner measured."""

    candidate: Candidate
    encoder: str
    decoder: str
    result: TrialResult | None = None

    @property
    def score(self) -> float:
        return self.candidate.epochs[-1].accuracy if self.candidate.epochs else -1.0


def demo(
    n: Annotated[int, typer.Option(min=1, help="How many designed Nets to train beside the baseline.")] = 4,
    llm: options.Llm = "smollm2",
    snippets: options.Snippets = 5,
    baseline: options.Baseline = "CaptionLSTM",
    epochs: options.Epochs = 3,
    seed: options.Seed = 0,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Have a language model design captioning Nets, check them, train them in LEMUR, and show how they caption."""
    from .. import plugins
    from ..contract.validator import ValidatorPool
    from ..generator import load
    from ..lemur.store import Store
    from ..strategies import Request, design_candidates

    store = Store.open(root, offline=offline)
    source = store.net_source(baseline)
    err.print(f"LEMUR root {store.lemur.root}, dataset {DATASET}, {epochs} epochs a Net on this machine")
    entries = [
        Entry(Candidate(name=baseline, family="hand-made", source=source), "ResNet", baseline.removeprefix("Caption"))
    ]
    with progress() as bar:
        task = bar.add_task(f"training the baseline {baseline}", total=epochs)
        _train(store, entries[0], epochs, seed, None, bar, task)
    request = Request(baseline, source, max(entries[0].score, 0.0), snippets=snippets, seed=seed)
    pool = store.snippet_pool()
    generator = load(llm, plugins.generators())
    with progress() as bar, ValidatorPool() as validators:
        answers = design_candidates(generator, request.every(), pool, validators.validate, known=store.net_names())
        designing = bar.add_task("designing Nets", total=n)
        for candidate in itertools.islice(answers, n * MOST_ANSWERS_A_NET):
            entry = Entry(candidate, *_shape(candidate))
            entries.append(entry)
            if candidate.outcome is None:
                training = bar.add_task(f"training {candidate.name}", total=epochs)
                _train(store, entry, epochs, seed, entries[0].score, bar, training)
                bar.remove_task(training)
            candidate.write(store.lemur.root / "out" / "lemur-caption")
            trained = sum(entry.result is not None for entry in entries[1:])
            bar.update(designing, completed=trained)
            err.print(
                f"{candidate.name}: {candidate.outcome.value if candidate.outcome else ''} {candidate.detail}".rstrip()
            )
            if trained == n:
                break
    good = [entry for entry in entries if entry.candidate.outcome and entry.candidate.outcome.success]
    if json:
        print_json({"database": str(store.lemur.database), "candidates": [e.candidate.to_dict() for e in entries]})
    else:
        _show(entries, good)
        out.print(f"\nThe Nets and every epoch are in LEMUR's database: {store.lemur.database}")
    raise typer.Exit(0 if len(good) == n + 1 else 1)


def _shape(candidate: Candidate) -> tuple[str, str]:
    from ..architecture import Design, describe

    if candidate.design is None:
        return "", ""
    words = describe(Design.model_validate(candidate.design))
    return words["encoder"], words["decoder"]


def _train(
    store: Store, entry: Entry, epochs: int, seed: int, baseline: float | None, bar: Progress, task: TaskID
) -> None:
    from ..lemur import runner
    from ..lemur.trial import TrialJob
    from .train import DEFAULT_LR, DEFAULT_MOMENTUM

    candidate = entry.candidate
    design = candidate.design or {}
    job = TrialJob(
        source=candidate.source,
        dataset=DATASET,
        metric=METRIC,
        transform=TRANSFORM,
        epochs=epochs,
        lr=float(design.get("lr", DEFAULT_LR)),
        momentum=float(design.get("momentum", DEFAULT_MOMENTUM)),
        seed=seed,
    )

    def report(epoch: Epoch) -> None:
        bar.advance(task)
        err.print(f"{candidate.name} epoch {epoch.epoch}: {METRIC} {epoch.accuracy:.4f} after {epoch.seconds:.0f} s")

    result = entry.result = runner.train(store, job, name=candidate.name, on_epoch=report)
    candidate.parameters, candidate.flops, candidate.parts = result.parameters, result.flops, result.parts
    candidate.finish(result.outcome, result.detail, result.epochs, baseline)


def _show(entries: list[Entry], good: list[Entry]) -> None:
    most = max((len(entry.candidate.epochs) for entry in entries), default=0)
    table = Table(title=f"Captioning Nets trained by LEMUR on `{DATASET}`, BLEU-4 an epoch", box=box.SIMPLE_HEAD)
    table.add_column("Net", no_wrap=True)
    for heading in ("encoder", "decoder"):
        table.add_column(heading, overflow="fold")
    table.add_column("params", justify="right")
    for epoch in range(1, most + 1):
        table.add_column(f"epoch {epoch}", justify="right")
    table.add_column("outcome")
    for entry in entries:
        candidate = entry.candidate
        size = f"{candidate.parameters / 1e6:.2f} M" if candidate.parameters else ""
        scores = [f"{epoch.accuracy:.4f}" for epoch in candidate.epochs]
        scores += [""] * (most - len(scores))
        outcome = candidate.outcome or Outcome.RUNTIME_ERROR
        table.add_row(short_name(candidate.name), entry.encoder, entry.decoder, size, *scores, outcome.value)
    out.print(table)
    designed = max((entry for entry in good if entry is not entries[0]), key=lambda entry: entry.score, default=None)
    shown = [entry for entry in (designed, entries[0]) if entry is not None and entry.result and entry.result.samples]
    for index, reference in enumerate(shown[0].result.samples if shown and shown[0].result else []):
        out.print(f"\n{reference['image']}\n  reference    {reference['reference']}")
        for entry in shown:
            label = "best design" if entry is designed else "baseline"
            caption = entry.result.samples[index]["caption"] if entry.result else ""
            out.print(f"  {label:<12} {caption}")
