"""What a report is made from: recorded runs, and LEMUR's own statistics where its store has some."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..kinds import Kinds, read_kinds

if TYPE_CHECKING:
    from ..candidate import Epoch
    from ..search.records import Entry, Records, Run

# What must be equal for metrics to be comparable.
BUDGET = ("dataset", "data", "metric", "transform", "epochs", "batch")
_SNIPPETS = re.compile(r"C(\d+)C-")
_DIGEST = re.compile(r"-[0-9a-f]{32}$")


@dataclass(frozen=True)
class Stored:
    """LEMUR's best captioning result of a Net at one epoch."""

    net: str
    dataset: str
    metric: str
    epoch: int
    accuracy: float

    @property
    def decisive(self) -> str:
        """The metric that `accuracy` is: LEMUR keeps the names of several under the value of the first."""
        return first_metric(self.metric)


@dataclass(frozen=True)
class RecordedRun:
    """A run with its candidates. `killed`: it still says `running`, and its process is dead."""

    run: Run
    entries: Sequence[Entry]
    killed: bool = False

    @property
    def state(self) -> str:
        return "killed" if self.killed else self.run.state.value

    @property
    def metric(self) -> str:
        """The metric that decides; of several the first."""
        return first_metric(self.setting("metric"))

    def setting(self, key: str) -> Any:
        return self.run.settings.get(key)

    @property
    def budget(self) -> tuple[Any, ...]:
        return tuple(self.setting(key) for key in BUDGET)


@dataclass(frozen=True)
class Net:
    """One candidate or baseline, and the run that it belongs to."""

    recorded: RecordedRun
    entry: Entry

    @property
    def id(self) -> str:
        return f"{self.entry.run}/{self.entry.index}"

    @property
    def is_baseline(self) -> bool:
        return self.entry.index < 0

    @property
    def ended(self) -> bool:
        return self.entry.state.value == "ended" and self.entry.candidate.outcome is not None

    @property
    def outcome(self) -> str:
        """The outcome's text, or `open` for a candidate that has not ended."""
        outcome = self.entry.candidate.outcome
        return outcome.value if outcome is not None and self.ended else "open"

    @property
    def success(self) -> bool:
        outcome = self.entry.candidate.outcome
        return self.ended and outcome is not None and outcome.success

    @property
    def epochs(self) -> list[Epoch]:
        return [epoch for epoch in self.entry.candidate.epochs if math.isfinite(epoch.accuracy)]

    @property
    def whole(self) -> bool:
        """Trained successfully for all epochs of its run, so that its score compares with others of the budget."""
        wanted = self.recorded.setting("epochs")
        return self.success and bool(self.epochs) and wanted in (None, len(self.epochs))

    @property
    def score(self) -> float | None:
        """The metric after the last epoch, of a Net that has trained."""
        return self.epochs[-1].accuracy if self.success and self.epochs else None

    @property
    def family(self) -> str:
        """The prefix of LEMUR's name, with the baseline that the Net was made from."""
        return self.entry.candidate.family or _DIGEST.sub("", self.entry.candidate.name)

    @property
    def snippets(self) -> int | None:
        """How many snippets the prompt was asked to show."""
        match = _SNIPPETS.match(self.family)
        wanted = int(match[1]) if match else self.recorded.setting("snippets")
        return wanted if isinstance(wanted, int) else None

    @property
    def strategy(self) -> str:
        return self.entry.candidate.strategy or str(self.recorded.setting("strategy") or "")

    @property
    def model(self) -> str:
        return self.entry.candidate.model or str(self.recorded.setting("llm") or "")

    @cached_property
    def kinds(self) -> Kinds:
        return read_kinds(self.entry.candidate)


@dataclass(frozen=True)
class Source:
    """Everything that the tables are computed from."""

    runs: Sequence[RecordedRun]
    stored: Sequence[Stored] = ()

    @cached_property
    def nets(self) -> list[Net]:
        """Baselines and candidates of all runs, in order of run and index."""
        return [Net(run, entry) for run in self.runs for entry in sorted(run.entries, key=lambda entry: entry.index)]

    @property
    def candidates(self) -> list[Net]:
        """What the language model was asked for; baselines are not among them."""
        return [net for net in self.nets if not net.is_baseline]

    def by_budget(self) -> Iterator[tuple[str, list[Net]]]:
        """The Nets whose scores compare, under a label of their budget."""
        groups: dict[tuple[Any, ...], list[Net]] = {}
        for net in self.nets:
            groups.setdefault(net.recorded.budget, []).append(net)
        for budget, nets in groups.items():
            yield budget_label(budget), nets


def first_metric(metric: object) -> str:
    """The metric that decides, of one or several with commas."""
    return str(metric or "").partition(",")[0]


def budget_label(budget: tuple[Any, ...]) -> str:
    """A budget in a few words, such as `shapes, bleu-4, 3 epochs, norm_64, batch 32`."""
    dataset, data, metric, transform, epochs, batch = budget
    # The folder's name is enough to read by, and a report may be shown to others.
    words = [f"{dataset} ({Path(data).name})" if data else dataset, metric]
    words += [None if epochs is None else f"{epochs} epoch{'s' if epochs != 1 else ''}", transform]
    words.append(None if batch is None else f"batch {batch}")
    return ", ".join(str(word) for word in words if word is not None)


def read(records: Records, runs: Sequence[int] | None, stored: Sequence[Stored] = ()) -> Source:
    """The runs of these numbers, or all. Raises UsageError for an unknown one."""
    found = [records.run(number) for number in runs] if runs else records.runs()
    recorded = []
    for run in found:
        holder = records.holder(run.id)
        # A run that nobody holds and that does not say how it ended has lost its process too.
        killed = run.state.value == "running" and (holder is None or not holder.alive)
        recorded.append(RecordedRun(run, records.entries(run.id), killed))
    return Source(recorded, stored)
