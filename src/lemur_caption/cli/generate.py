"""`generate`: ask a language model for captioning Nets."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import out, print_json, progress

Size = Annotated[
    str, typer.Option(help="Scale of the Nets: `pocket` (a laptop) or `full` (hidden sizes of the paper).")
]


def generate(
    n: Annotated[int, typer.Option(min=1, help="How many candidates to ask for.")] = 4,
    llm: options.Llm = "smollm2",
    strategy: Annotated[
        str,
        typer.Option(
            help="What the model writes: `design`, a choice of architecture that we render; `blocks`, encoder and decoder; "
            "`delta`, a diff to the baseline; `code`, a whole Net."
        ),
    ] = "design",
    snippets: options.Snippets = 5,
    nets: options.Nets = None,
    baseline: options.Baseline = "CaptionLSTM",
    size: Size = "pocket",
    temperature: Annotated[float, typer.Option(min=0.0, help="Sampling temperature.")] = 0.8,
    repair: Annotated[
        int,
        typer.Option(min=0, help="How often a Net that breaks the contract written as code goes back to the model."),
    ] = 2,
    answer_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of an answer. Default: as many as the strategy needs.")
    ] = None,
    seed: options.Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the Nets and their trails. Default: out/lemur-caption under the root."),
    ] = None,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Have a language model design captioning Nets and check each against the contract.

    Every sound Net becomes NAME.py, ready for `lemur-caption train`; NAME.json beside it, written for every
    candidate, keeps its trail: prompt, answer, the source after each pass, findings and repairs.
    """
    from .. import plugins
    from ..contract.validator import ValidatorPool
    from ..generator import load
    from ..lemur.store import Store
    from ..strategies import Request, get_strategy

    candidates_of = get_strategy(strategy)
    store = Store.open(root, offline=offline)
    request = Request(
        baseline,
        store.net_source(baseline),
        snippets=snippets,
        size=size,
        temperature=temperature,
        seed=seed,
        repairs=repair,
        answer_tokens=answer_tokens,
    )
    generator = load(llm, plugins.generators())
    pool = store.snippet_pool(nets)
    finished = []
    folder = output or store.lemur.root / "out" / "lemur-caption"
    requests = itertools.islice(request.every(), n)
    with progress() as bar, ValidatorPool() as validators:
        answers = candidates_of(generator, requests, pool, validators.validate, known=store.net_names())
        task = bar.add_task("designing Nets", total=n)
        for candidate in answers:
            candidate.write(folder)
            finished.append(candidate)
            bar.advance(task)
    if json:
        print_json([candidate.to_dict() for candidate in finished])
    else:
        for candidate in finished:
            verdict = candidate.outcome.value if candidate.outcome else "sound"
            out.print(f"{candidate.name}  {verdict}  {candidate.detail}".rstrip())
        out.print(f"written to {folder}")
    raise typer.Exit(1 if any(candidate.outcome for candidate in finished) else 0)
