"""Nets by a language model, in the folders in which NNGPT keeps its own: what `AlterCaptionNN.alter` does, checked."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..candidate import Candidate
from ..errors import UsageError
from . import layout
from .prompt_json import SNIPPET_TASK, TASK, PromptEntry, load

if TYPE_CHECKING:
    from ..lemur.root import Lemur
    from ..lemur.store import Store
    from ..strategies import Request

Row = Mapping[str, Any]
# NNGPT's own folder for this, or what replaces it, for runs that must not meet.
OVERRIDES = ("AB_GPT_NNGPT_DIR", "NNGPT_DIR_OVERRIDE")


@dataclass(frozen=True)
class Job:
    """One answer to ask for: the epoch it belongs to, its number there, LEMUR's row of the baseline, and the request."""

    epoch: int
    number: int
    row: Row
    request: Request


def alter(
    epochs: int,
    test_conf: str,
    llm_name: str,
    gguf_file: str | None = None,
    only_nn: str | None = None,
    *,
    root: Path | str | None = None,
    nets: Path | None = None,
    temperature: float = 0.8,
    repairs: int = 2,
    answer_tokens: int | None = None,
    seed: int = 0,
    offline: bool = False,
) -> list[Candidate]:
    """Ask for new captioning Nets as NNGPT's `AlterCaptionNN.alter` does, and keep the sound ones for `ab.gpt.NNEval`.

    In each of `epochs` rounds every entry of the prompt file `test_conf` is filled with every captioning Net that
    LEMUR has results of, or with `only_nn` alone, and asked once. `test_conf` is a path, or a name in NNGPT's own folder
    `ab/gpt/conf/prompt/test`. `llm_name` is a Hugging Face model or folder, whose GGUF file is `gguf_file`, or any spec
    of `--llm`. Snippets come from the Nets of an unpacked nn-dataset release at `nets`, else from those that LEMUR has.

    Answer i of epoch e goes to `out/nngpt/llm/epoch/A<e>/synth_nn/B<i>/` under NNGPT's file names; what `epoch` held
    before is deleted when the first answer is there. `new_nn.py` exists where the contract accepts the Net, and nowhere
    else: NNEval passes over a folder without it. Returns all candidates, in the order of their folders.

    Raises UsageError where the call cannot work: an unusable prompt file, no results to start from.
    """
    from .. import plugins
    from ..contract.validator import ValidatorPool
    from ..generator import load as load_generator
    from ..lemur.store import Store
    from ..strategies import Request, get_strategy

    if epochs < 1:
        raise UsageError(f"{epochs} epochs were asked for; give 1 or more")
    store = Store.open(root, offline=offline)
    entries = load(_find(test_conf, store.lemur))
    spec = _spec(llm_name, gguf_file, plugins.generators())
    generator = load_generator(spec, plugins.generators())
    pool = store.snippet_pool(nets)
    wanted = Request("", "", temperature=temperature, repairs=repairs, answer_tokens=answer_tokens, seed=seed)
    jobs = list(_jobs(epochs, entries, _rows(store, only_nn), wanted, _others(store, entries)))
    folder = epoch_folder(store.lemur)
    finished: list[Candidate] = []
    sources = dict(pool)
    with ValidatorPool() as validators:
        asked = enumerate(job.request for job in jobs)
        answers = get_strategy("code")(generator, asked, pool, validators.validate, known=store.net_names())
        for job, candidate in zip(jobs, answers, strict=True):
            if not finished:
                layout.clear(folder)
            layout.write(layout.net_folder(folder, job.epoch, job.number), candidate, job.row, sources)
            finished.append(candidate)
    return finished


def requests(request: Request, entries: Sequence[PromptEntry], row: Row | None = None) -> Iterator[tuple[int, Request]]:
    """Endless requests whose prompts come from the entries in turn, for `generate`.

    `row` is LEMUR's result of the request's baseline, where it has one. Raises UsageError for an entry that
    cannot be filled.
    """
    known = {"nn": request.baseline_name, "task": TASK} | dict(row or {})
    prompted = [_prompted(request, entry, known, {}) for entry in entries]
    return enumerate(itertools.cycle(prompted))


def epoch_folder(lemur: Lemur) -> Path:
    """Where NNGPT has its epochs: under LEMUR's `out`, or under the folder that its environment variables name."""
    override = next((os.environ[name] for name in OVERRIDES if os.environ.get(name)), None)
    return (Path(override) if override else lemur.root / "out" / "nngpt") / "llm" / "epoch"


def _jobs(
    epochs: int, entries: Sequence[PromptEntry], rows: Sequence[Row], wanted: Request, others: Mapping[str, Row]
) -> Iterator[Job]:
    """Every answer of every epoch. A Net with several results is shown with one of them, drawn anew each time."""
    for epoch in range(epochs):
        number = itertools.count()
        for place, entry in enumerate(entries):
            if entry.task != TASK:
                raise UsageError(f"{entry.name}: its task is {entry.task}; lemur-caption makes Nets for {TASK} only")
            drawn = random.Random(f"{wanted.seed}/{epoch}/{place}")
            nets = _by_net(rows, entry.prefixes)
            if not nets:
                raise UsageError(f"{entry.name}: LEMUR has no results of Nets named {' or '.join(entry.prefixes)}…")
            for results in nets.values():
                row = drawn.choice(results)
                request = replace(
                    wanted, baseline_name=row["nn"], baseline_source=row["nn_code"], baseline_score=row["accuracy"]
                )
                yield Job(epoch, next(number), row, _prompted(request, entry, row, others))


def _prompted(request: Request, entry: PromptEntry, row: Row, others: Mapping[str, Row]) -> Request:
    """The request with an entry's prompt. `row` is LEMUR's result of its baseline, `others` those of the snippets' Nets."""
    if entry.wants_edits:
        raise UsageError(
            f"{entry.name}: it asks for an edit of the baseline, where a whole Net is read; use another prompt"
        )
    if entry.addon_task not in (None, SNIPPET_TASK):
        raise UsageError(f"{entry.name}: its addon_task is {entry.addon_task}; snippets come from {SNIPPET_TASK} Nets")
    return replace(request, snippets=entry.snippets, template=entry.template(row, others))


def _rows(store: Store, only_nn: str | None) -> list[Row]:
    rows: list[Row] = [row for row in store.results() if row["nn_code"] and only_nn in (None, row["nn"])]
    if not rows:
        name = f"the Net `{only_nn}`" if only_nn else "any captioning Net"
        raise UsageError(
            f"LEMUR has no results of {name} to start from; train one first: lemur-caption train CaptionLSTM"
        )
    return rows


def _others(store: Store, entries: Sequence[PromptEntry]) -> dict[str, Row]:
    """The best result of each classification Net, where an entry shows more of them than their code."""
    if all(column in ("nn", "nn_code") for entry in entries for _, column in entry.addons):
        return {}
    rows = sorted(store.results(SNIPPET_TASK), key=lambda row: float(row["accuracy"]))
    return {row["nn"]: row for row in rows}


def _by_net(rows: Sequence[Row], prefixes: tuple[str, ...]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if not prefixes or row["nn"].startswith(prefixes):
            found.setdefault(row["nn"], []).append(row)
    return found


def _find(test_conf: str, lemur: Lemur) -> Path:
    """A prompt file by its path, or by its name in the folder where NNGPT looks, installed or under the root."""
    names = [Path(test_conf)]
    names += [
        folder / "gpt" / "conf" / "prompt" / "test" / test_conf for folder in (lemur.root / "ab", lemur.package.parent)
    ]
    for path in names:
        if path.is_file():
            return path
    raise UsageError(f"no prompt file {test_conf}, neither here nor in NNGPT's ab/gpt/conf/prompt/test")


def _spec(llm_name: str, gguf_file: str | None, schemes: Mapping[str, object]) -> str:
    """The spec of a language model: as it is, where it is one already."""
    scheme = llm_name.partition(":")[0]
    if scheme not in schemes:
        return f"hf:{llm_name}?gguf={quote(gguf_file)}" if gguf_file else f"hf:{llm_name}"
    if gguf_file:
        raise UsageError(
            f"`{llm_name}` takes no GGUF file; name a Hugging Face model or folder, or write hf:MODEL?gguf=FILE"
        )
    return llm_name
