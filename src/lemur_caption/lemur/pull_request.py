"""The summary of a contribution: what a maintainer of LEMUR reads first, in Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from .contribution import Budget, ContributedNet, Missing
from .registry import items

_PACKAGES = ("lemur-caption", "nn-dataset", "torch", "torchvision", "optuna")


@dataclass(frozen=True)
class Origin:
    """How a Net was made: `facts` as label and value, and the `prompt` that the language model got."""

    facts: dict[str, str]
    prompt: str


def notes(nets: list[ContributedNet], budget: Budget) -> list[str]:
    """What LEMUR must have before its importer takes the statistics, where it does not ship that itself."""
    ours = {(item.kind, item.name) for item in items()}
    transforms = sorted({str(trial.hyperparameters["transform"]) for net in nets for trial in net.trials})
    wanted = [("loader", budget.dataset), *(("metric", name.strip()) for name in budget.metric.split(","))]
    wanted += [("transform", name) for name in transforms]
    words = {"loader": "dataset", "metric": "metric", "transform": "transform"}
    return [
        f"the {words[kind]} `{name}` is lemur-caption's: LEMUR needs `ab/nn/{kind}/{name}.py`, "
        "which `lemur-caption register` writes"
        for kind, name in wanted
        if (kind, name) in ours
    ]


def summary(
    nets: list[ContributedNet],
    baselines: list[ContributedNet],
    budget: Budget,
    missing: list[Missing],
    origins: dict[str, Origin],
) -> str:
    """The Markdown text."""
    lines = [f"# {len(nets)} image-captioning Net{'s' if len(nets) > 1 else ''} for LEMUR", ""]
    if missing:
        lines += ["**INCOMPLETE: this does not keep LEMUR's rules for contributions yet.**", ""]
        lines += [f"- {_plain(str(one))}" for one in missing] + [""]
    lines += [
        f"Task `img-captioning`, dataset `{budget.dataset}`, metric `{budget.metric}`. "
        f"Best of all trials within {budget.epochs} epochs:",
        "",
        f"| Net | trials of {budget.epochs} epochs | best {budget.metric} |",
        "| --- | ---: | ---: |",
        *(_row(net, budget) for net in nets),
        *(_row(net, budget, " (baseline)") for net in baselines),
        "",
    ]
    counts = {net.complete(budget) for net in (*nets, *baselines)}
    if len(counts) > 1:
        lines += ["The numbers of trials differ, so the best of them are not a comparison at the same budget.", ""]
    lines += ["## How they were made", ""]
    for net in nets:
        lines += _how_made(net, origins.get(net.name))
    drawn = [trial.drawn for net in nets for trial in net.trials]
    given = f"; {drawn.count(False)} more were trained with given ones" if not all(drawn) else ""
    lines += [
        f"Optuna drew the hyperparameters of {sum(drawn)} trials, in LEMUR's own entry point `ab.nn.train`{given}.",
        "",
    ]
    lines += ["## Versions", ""]
    lines += [f"- {package} {found}" for package, found in _versions().items()]
    if told := notes(nets, budget):
        lines += ["", "## What LEMUR needs beside these files", "", *(f"- {note}" for note in told)]
    return "\n".join(lines) + "\n"


def _row(net: ContributedNet, budget: Budget, kind: str = "") -> str:
    if not net.trials:
        return f"| `{net.name}`{kind} | 0 | not measured here |"
    return f"| `{net.name}`{kind} | {net.complete(budget)} | {net.best(budget):.4f} |"


def _how_made(net: ContributedNet, origin: Origin | None) -> list[str]:
    if origin is None:
        return [f"`{net.name}` is not in the records of a search.", ""]
    facts = ", ".join(f"{label} {_plain(value)}" for label, value in origin.facts.items() if value)
    # A fence must be longer than every run of its character inside.
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", origin.prompt)), default=0))
    return [
        f"`{net.name}`: {facts}.",
        "",
        "<details><summary>Prompt</summary>",
        "",
        f"{fence}text",
        origin.prompt,
        fence,
        "",
        "</details>",
        "",
    ]


def _plain(text: str) -> str:
    """Text on one line, in which Markdown finds nothing to interpret."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", " ".join(text.split()))


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
