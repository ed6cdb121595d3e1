"""`contribute`: a family as a folder for a pull request to LEMUR."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from . import options
from .console import out, print_json, progress
from .recorded import open_records
from .train import Contract

if TYPE_CHECKING:
    from ..lemur.contribution import ContributedNet, Missing
    from ..lemur.pull_request import Origin


def contribute(
    families: Annotated[
        list[str], typer.Argument(metavar="FAMILY", help="Families (C5C-CaptionLSTM), or whole names of Nets.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; absent or empty. Default: contribution-FAMILY.")
    ] = None,
    dataset: options.Dataset = "shapes",
    metric: options.Metric = "bleu-4",
    least_trials: Annotated[
        int, typer.Option(min=1, help="Optuna trials a Net must have; LEMUR asks 10, of a very large Net 3.")
    ] = 10,
    least_epochs: Annotated[int, typer.Option(min=1, help="Epochs that a trial must have to count; LEMUR asks 5.")] = 5,
    contract: Annotated[Contract, typer.Option(help="What to hold each Net to.")] = Contract.STRICT,
    only_check: Annotated[bool, typer.Option("--check", help="Check LEMUR's rules and write nothing.")] = False,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Write the folder though something is missing; its summary says so.")
    ] = False,
    root: options.Root = None,
    json: options.Json = False,
) -> None:
    """Check Nets by LEMUR's rules for contributions and write them, with their statistics, for a pull request.

    Exit code 1 where something is missing: each line says what, and how to get it.
    """
    from ..lemur import contribution
    from ..lemur.pull_request import notes, summary
    from ..lemur.root import attach
    from ..lemur.store import Store

    lemur = attach(root)
    if not lemur.database.exists():
        raise UsageError(
            f"{lemur.root} has no LEMUR database; `lemur-caption search` or `tune` fills one, --root names another"
        )
    store = Store(lemur)
    budget = contribution.Budget(dataset, metric, least_trials, least_epochs)
    target = folder or Path(f"contribution-{families[0]}")
    if not only_check:
        contribution.prepare_folder(target)
    nets = contribution.collect(store, families, budget)
    missing = [*contribution.check(store, nets, budget), *_hold_to(contract, nets)]
    baselines = contribution.baselines(store, budget)
    told = notes(nets, budget) + [
        f"the baseline {baseline.name} has {count} of {least_trials} such trials to compare with; "
        + budget.command(baseline.name)
        for baseline in baselines
        if (count := baseline.complete(budget)) < least_trials
    ]
    written = not only_check and (incomplete or not missing)
    if written:
        text = summary(nets, baselines, budget, missing, _origins(nets, lemur.root))
        contribution.write(target, nets, budget, text)
    if json:
        print_json(
            {
                "nets": [
                    {
                        "name": net.name,
                        "trials": net.complete(budget),
                        "left_out": net.left_out,
                        "best": net.best(budget),
                    }
                    for net in nets
                ],
                "missing": [vars(one) for one in missing],
                "notes": told,
                "folder": str(target) if written else None,
            }
        )
    else:
        for net in nets:
            count = net.complete(budget)
            out.print(
                f"{net.name}  {count} trials of {least_epochs} epochs  {metric} {net.best(budget):.4f}", markup=False
            )
        for line in (*(f"missing  {one}" for one in missing), *(f"note     {note}" for note in told)):
            out.print(line, markup=False)
        label = " INCOMPLETE, not for a pull request yet" if missing else ""
        out.print(f"written to {target}{label}" if written else "nothing was written", markup=False)
    raise typer.Exit(1 if missing else 0)


def _hold_to(contract: Contract, nets: list[ContributedNet]) -> list[Missing]:
    """One line for each Net that breaks the contract."""
    from ..contract.validator import ValidatorPool, validate
    from ..lemur.contribution import Missing

    if contract is Contract.OFF:
        return []
    found = []
    # The pool starts with the first Net whose text alone does not decide.
    with progress() as bar, contextlib.closing(ValidatorPool()) as pool:
        task = bar.add_task("checking Nets", total=len(nets))
        for net in nets:
            report = validate(net.source, profile=contract.value, pool=pool)
            bar.advance(task)
            if not report.ok:
                first = next((f for f in report.findings if f.severity == "error"), None)
                what = f"{first.rule} {first.message}" if first else report.outcome.value if report.outcome else ""
                found.append(Missing(net.name, f"it breaks the contract ({what})", "contribute another Net"))
    return found


def _origins(nets: list[ContributedNet], root: Path) -> dict[str, Origin]:
    """How the Nets were made, of those that a search recorded."""
    from ..lemur.pull_request import Origin

    try:
        records = open_records(root)
    except UsageError:
        return {}  # no search has run here
    found = {}
    with records:
        for net in nets:
            try:
                entry = records.candidate(net.name)
            except UsageError:
                continue  # made elsewhere; the summary says so
            candidate, run = entry.candidate, records.run(entry.run)
            facts: dict[str, Any] = {
                "model": candidate.model,
                "strategy": candidate.strategy,
                "temperature": candidate.temperature,
                "seed": candidate.seed,
                "snippets": ", ".join(candidate.snippets),
                "parents": ", ".join(candidate.parents),
                "repairs": len(candidate.repairs),
                "recorded": run.started,
                "with": ", ".join(f"{name} {value}" for name, value in run.versions.items() if isinstance(value, str)),
            }
            found[net.name] = Origin({label: str(value) for label, value in facts.items()}, candidate.prompt)
    return found
