"""`generate`: ask a language model for captioning Nets."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from . import options
from .console import out, print_json, progress


def generate(
    n: Annotated[int, typer.Option(min=1, help="How many candidates to ask for.")] = 4,
    llm: options.Llm = "smollm2",
    strategy: options.Strategy = "design",
    snippets: options.Snippets = 5,
    nets: options.Nets = None,
    baseline: options.Baseline = "CaptionLSTM",
    size: options.Size = "pocket",
    temperature: options.Temperature = 0.8,
    repair: options.Repair = 2,
    answer_tokens: options.AnswerTokens = None,
    prompt: Annotated[
        Path | None,
        typer.Option(help="`code`: a prompt file of NNGPT's kind, whose prompts are asked in turn in place of ours."),
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
    from ..nngpt import load as load_prompts
    from ..nngpt import requests as prompted
    from ..strategies import Request, get_strategy

    candidates_of = get_strategy(strategy)
    if prompt is not None and strategy != "code":
        raise UsageError(f"--prompt is for `--strategy code`, not `{strategy}`")
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
    wanted = request.every() if prompt is None else prompted(request, load_prompts(prompt), store.best_result(baseline))
    requests = itertools.islice(wanted, n)
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
