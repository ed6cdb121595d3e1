"""`search`: a closed loop of asking, checking and training that learns from its outcomes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from ..candidate import short_name
from . import options
from .console import err, out, print_json, stdout_for_results
from .interrupt import EXIT_INTERRUPTED, Interrupt
from .search_view import shown

if TYPE_CHECKING:
    from ..candidate import Candidate
    from ..search.settings import Settings


def search(
    n: Annotated[int, typer.Option(min=1, help="How many candidates to ask for.")] = 24,
    llm: options.Llm = "smollm2",
    strategy: options.Strategy = "design",
    snippets: options.Snippets = 5,
    nets: options.Nets = None,
    epochs: options.Epochs = 3,
    baseline: options.Baseline = "CaptionLSTM",
    dataset: options.Dataset = "shapes",
    data: options.Data = None,
    metric: options.Metric = "bleu-4",
    transform: options.Transform = "norm_64",
    batch: options.Batch = 32,
    size: options.Size = "pocket",
    temperature: options.Temperature = 0.8,
    repair: options.Repair = 2,
    answer_tokens: options.AnswerTokens = None,
    tune: Annotated[
        int,
        typer.Option(
            min=0,
            help="After a Net's first trial, so many more with hyperparameters that Optuna draws in LEMUR's own entry point; "
            "the best trial counts. `--tune 10 --epochs 5` makes what LEMUR asks of a contribution.",
        ),
    ] = 0,
    feedback: Annotated[
        str,
        typer.Option(
            help="How outcomes steer what comes next: `effects` (what goes with good scores), `archive` (vary the best of "
            "each kind), or `none`, as in the paper."
        ),
    ] = "effects",
    pruner: Annotated[
        str, typer.Option(help="Stop trials that others leave behind: `median` or `halving` (Optuna), or `none`.")
    ] = "none",
    lag: Annotated[
        int,
        typer.Option(
            min=1, help="A candidate waits for, and learns from, all candidates at least this many places before it."
        ),
    ] = 4,
    budget: Annotated[
        str | None,
        typer.Option(
            help="End after this time (90s, 30m, 2h), or after this many candidates where that is fewer than --n."
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds a trial may take. Default: ten times the slower baseline.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Trials at a time. Default: one for each GPU, or for each CPU core.")
    ] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a trial.")] = 1,
    executor: Annotated[
        str, typer.Option(help="Where trials run: `local`, or `ray` (needs the extra `ray`).")
    ] = "local",
    seed: options.Seed = 0,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with the run of this number, or `last`, by its own settings. Beside it only --workers, --executor, "
            "--take-over, --root, --offline and --json count."
        ),
    ] = None,
    take_over: options.TakeOver = False,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Search for captioning Nets: a language model designs, LEMUR trains, and what comes of it steers what is asked next.

    Everything is on record as it happens: a run that is stopped or killed goes on with --resume. Ctrl-C finishes
    what is being trained and stops; a second Ctrl-C stops at once.
    """
    from ..lemur.store import Store
    from ..search import session
    from ..search.settings import Settings, parse_budget

    store = Store.open(root, offline=offline)
    settings = Settings(
        llm=llm,
        strategy=strategy,
        snippets=snippets,
        n=n,
        epochs=epochs,
        baseline=baseline,
        dataset=dataset,
        data=str(data.resolve()) if data else None,
        metric=metric,
        transform=transform,
        batch=batch,
        seed=seed,
        size=size,
        temperature=temperature,
        repairs=repair,
        answer_tokens=answer_tokens,
        nets=str(nets.resolve()) if nets else None,
        tune=tune,
        feedback=feedback,
        lag=lag,
        pruner=pruner,
        threads=threads,
        timeout_seconds=timeout,
    )
    if budget is not None:
        limit = parse_budget(budget)
        settings = (
            replace(settings, budget_seconds=limit) if isinstance(limit, float) else replace(settings, n=min(n, limit))
        )
    with (
        stdout_for_results(),
        session.opened(store, settings, resume, executor, workers, take_over=take_over) as opened,
        shown(opened.settings, opened.ended) as event,
    ):
        running = opened.search(event)
        if running.idle_workers:
            err.print(
                f"{running.idle_workers} workers have nothing to do: no more than --lag {running.lag} Nets train at a time"
            )
        Interrupt("go on later with --resume").watch(running)
        state = running.run()
    result = opened.summary(running)
    if json:
        print_json(result | {"candidates": [candidate.to_dict() for _, candidate in sorted(running.ended.items())]})
    else:
        _table(opened.settings, running.ended)
        _say(result)
    raise typer.Exit(0 if state.value == "finished" else EXIT_INTERRUPTED)


def _table(settings: Settings, ended: dict[int, Candidate]) -> None:
    table = Table(title=f"The run's Nets on `{settings.dataset}`, best first", box=box.SIMPLE_HEAD)
    for heading in ("#", "Net", "params", "epochs", settings.metric, "outcome"):
        table.add_column(heading, justify="right" if heading in ("#", "params", "epochs", settings.metric) else "left")
    rows = sorted(ended.items(), key=lambda item: -_score(item[1]))
    for index, candidate in rows:
        size = f"{candidate.parameters / 1e6:.2f} M" if candidate.parameters else ""
        score = f"{_score(candidate):.4f}" if candidate.epochs else ""
        outcome = candidate.outcome.value if candidate.outcome else ""
        place = str(index) if index >= 0 else "base"
        table.add_row(place, short_name(candidate.name), size, str(len(candidate.epochs) or ""), score, outcome)
    out.print(table)


def _score(candidate: Candidate) -> float:
    return candidate.epochs[-1].accuracy if candidate.epochs else -1.0


def _say(result: dict[str, Any]) -> None:
    if result["best"] is not None:
        against = ", ".join(f"{name} {score:.4f}" for name, score in result["baselines"].items())
        beside = f" against {against}, same budget" if against else ""
        out.print(f"best {result['metric']} {result['best']:.4f} ({short_name(result['best_net'])}){beside}")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in result["outcomes"].items())
    out.print(
        f"{counts}; {result['seconds']:.0f} s, of which {result['overhead']:.1%} neither training, pylint nor model"
    )
    out.print(
        f"run {result['run']} {result['state']}: `lemur-caption show {result['run']}`, records in {result['records']}"
    )
