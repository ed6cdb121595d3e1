"""A folder for a pull request to LEMUR: Nets and their statistics in LEMUR's layout, checked by LEMUR's rules first.

The rules are those of the section `Contribution` of LEMUR's README. Reads the store and writes the folder.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import StoreError, UsageError
from .loading import FOLDERS, TASK
from .registry import baseline_names, code_id
from .root import connect
from .store import Store
from .stored_trials import StoredTrial, results_of, stored_trials

TRIALS, EPOCHS = 10, 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_HASH = re.compile(r"-([0-9a-f]{32})$")
# Chosen by LEMUR rather than by the Net, and not between 0 and 1.
_NOT_THE_NETS = frozenset(("batch", "epoch_max", "num_workers", "transform"))
_LICENCE_LINE = re.compile(r"licen[cs]e|copyright|SPDX", re.I)
_ACCEPTED_LICENCE = re.compile(r"\b(MIT|BSD)\b")


@dataclass(frozen=True)
class Missing:
    """A rule of LEMUR's that a Net does not keep: what is the matter, and how to mend it."""

    net: str
    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.net}: {self.what}; {self.how}"


@dataclass(frozen=True)
class Budget:
    """What a contribution is about, and how much training of each Net it takes."""

    dataset: str = "shapes"
    metric: str = "bleu-4"
    trials: int = TRIALS
    epochs: int = EPOCHS

    def command(self, name: str) -> str:
        """The command that gives a Net the trials that are asked for."""
        return (
            f"lemur-caption tune {name} --trials {self.trials} --epochs {self.epochs} "
            f"--dataset {self.dataset} --metric {self.metric}"
        )


@dataclass
class ContributedNet:
    """A Net with the trials to contribute. `left_out` counts trials with hyperparameters that LEMUR does not take."""

    name: str
    source: str
    trials: list[StoredTrial] = field(default_factory=list)
    left_out: int = 0

    def complete(self, budget: Budget) -> int:
        """How many of its trials are Optuna's and have all epochs that are asked for."""
        return sum(trial.counts(budget.epochs) for trial in self.trials)

    def best(self, budget: Budget) -> float:
        """The highest metric within the epochs that are asked for."""
        return max((trial.best(budget.epochs) for trial in self.trials), default=0.0)


def collect(store: Store, families: Iterable[str], budget: Budget) -> list[ContributedNet]:
    """The Nets of `families` (what their names begin with, or whole names) that have results, best first.

    Raises UsageError for an unknown family or dataset, a baseline, a name that LEMUR's files cannot have, and where a
    family has no result on the dataset with the metric.
    """
    if budget.dataset not in FOLDERS:
        raise UsageError(f"unknown dataset `{budget.dataset}`; lemur-caption has {', '.join(FOLDERS)}")
    known, chosen = store.net_names(), set()
    for family in families:
        if family in baseline_names():
            raise UsageError(
                f"{family} comes with lemur-caption and is no Net to contribute; name a family that it began"
            )
        members = {name for name in known if name == family or (name.startswith(f"{family}-") and _HASH.search(name))}
        if not members:
            begun = sorted({_HASH.sub("", name) for name in known if _HASH.search(name)})
            raise UsageError(
                f"LEMUR has no Net of the family `{family}`; it has {', '.join(begun[:8]) or 'no generated Net yet'}"
            )
        if odd := sorted(name for name in members if not _NAME.fullmatch(name)):
            raise UsageError(
                f"`{odd[0]}` cannot be a file of LEMUR's, which splits names at `_` and imports them: letters, digits and "
                "hyphens alone; tune its code from a file of another name"
            )
        results = results_of(store, members)
        trained = {name for *where, name in results if where == [budget.dataset, budget.metric]}
        if not trained:
            places = sorted({f"{dataset} with {metric}" for dataset, metric, _ in results})
            raise UsageError(
                f"no Net of {family} has a result on {budget.dataset} with {budget.metric}, "
                + (f"only on {', '.join(places)}; see --dataset and --metric" if places else "nor any other; "
                   f"train one: {budget.command(min(members))}")
            )  # fmt: skip
        chosen |= trained
    nets = [_net(store, name, budget) for name in sorted(chosen)]
    return sorted(nets, key=lambda net: -net.best(budget))


def baselines(store: Store, budget: Budget) -> list[ContributedNet]:
    """The baselines with their results under the same budget; one without results has no trial."""
    return [_net(store, name, budget) for name in baseline_names()]


def _net(store: Store, name: str, budget: Budget) -> ContributedNet:
    trials = stored_trials(store, name, budget.dataset, budget.metric)
    fitting = [trial for trial in trials if not _out_of_range(trial)]
    return ContributedNet(name, store.net_source(name), fitting, len(trials) - len(fitting))


def _out_of_range(trial: StoredTrial) -> bool:
    return any(
        not (isinstance(value, (int, float)) and 0 <= value <= 1)
        for name, value in trial.hyperparameters.items()
        if name not in _NOT_THE_NETS
    )


def check(store: Store, nets: list[ContributedNet], budget: Budget) -> list[Missing]:
    """What the Nets lack by LEMUR's rules, in order of the Nets. Whether they keep the contract is not asked here."""
    return [missing for net in nets for missing in _check_net(store, net, budget)]


def _check_net(store: Store, net: ContributedNet, budget: Budget) -> Iterable[Missing]:
    if (count := net.complete(budget)) < budget.trials:
        left_out = f" ({net.left_out} with hyperparameters outside 0 to 1 do not count)" if net.left_out else ""
        what = f"{count} of {budget.trials} Optuna trials of {budget.epochs} epochs{left_out}"
        yield Missing(net.name, what, budget.command(net.name))
    digest = code_id(net.source)
    if (hashed := _HASH.search(net.name)) and hashed[1] != digest:
        what = f"its name ends in {hashed[1]}, and the hash of its code is {digest}"
        yield Missing(net.name, what, f"tune its code from a file of its own: {budget.command('FILE.py')}")
    query = "SELECT name FROM nn WHERE id = ? AND name <> ? ORDER BY name"
    with connect(store.lemur, read_only=True) as connection:
        for (twin,) in connection.execute(query, (digest, net.name)):
            yield Missing(
                net.name, f"LEMUR has the same code as {twin}", "contribute one of the two, by its whole name"
            )
    for licence in _other_licences(net.source):
        yield Missing(
            net.name, f"its header says `{licence}`", "LEMUR takes MIT and BSD; contribute a Net without that"
        )
    if alien := _imports(net.source) & {"ab", "lemur_caption"}:
        what = f"it imports {', '.join(sorted(alien))}"
        yield Missing(net.name, what, "a Net of LEMUR's is a file that stands alone; contribute another")


def _other_licences(source: str) -> Iterable[str]:
    """What the comments before the code, and its docstring, say of another licence than LEMUR takes.

    LEMUR's Nets need no header: what has none comes under LEMUR's own MIT licence.
    """
    head = re.match(r'\s*(?:#[^\n]*\s*|(?:"""|\'\'\').*?(?:"""|\'\'\')\s*)*', source, re.S)
    told = [line.strip(" #\t") for line in (head[0] if head else "").splitlines() if _LICENCE_LINE.search(line)]
    return told[:1] if told and not _ACCEPTED_LICENCE.search(" ".join(told)) else []


def _imports(source: str) -> set[str]:
    """The top-level packages that a source imports; none of what is no Python, which the contract tells."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def prepare_folder(folder: Path) -> None:
    """Raise UsageError unless `folder` is absent or empty."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists and is not an empty folder; choose another with --out")
    except OSError as error:
        raise UsageError(f"{folder} cannot be read ({error.strerror}); choose another with --out") from error


def write(folder: Path, nets: list[ContributedNet], budget: Budget, summary: str) -> None:
    """Write the Nets, their statistics and `PULL_REQUEST.md` into `folder`, all or nothing.

    Raises UsageError where the folder is there and not empty, StoreError where it cannot be written.
    """
    prepare_folder(folder)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        (part / "ab" / "nn" / "nn").mkdir(parents=True)
        (part / "PULL_REQUEST.md").write_text(summary, encoding="utf-8")
        for net in nets:
            (part / "ab" / "nn" / "nn" / f"{net.name}.py").write_text(net.source, encoding="utf-8", newline="")
            statistics = part / "ab" / "nn" / "stat" / "train" / f"{TASK}_{budget.dataset}_{budget.metric}_{net.name}"
            statistics.mkdir(parents=True)
            for number in sorted({number for trial in net.trials for number in trial.epochs}):
                records = [trial.epochs[number] for trial in net.trials if number in trial.epochs]
                records.sort(key=lambda record: -record["accuracy"])
                (statistics / f"{number}.json").write_text(json.dumps(records, indent=4), encoding="utf-8")
        part.replace(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}); choose another with --out") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
