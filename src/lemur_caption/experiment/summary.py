"""What an experiment came to: one row a combination of settings, over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..report import Column, RecordedRun, Source, Table, build
from ..report.output.files import replace, write_csv
from ..report.output.markdown import escaped, grid
from ..report.source import Net
from ..report.statistics import mean, median
from ..report.table import Row, Value, text
from ..search.settings import Settings
from .protocol import Protocol


@dataclass(frozen=True)
class Found:
    """What one finished search found. `baselines`: the metric of each after its last epoch."""

    asked: int
    trained: int
    scores: Sequence[float]
    baselines: Mapping[str, float]
    seconds: float

    @property
    def best(self) -> float | None:
        return max(self.scores, default=None)

    @property
    def wins(self) -> bool:
        return (
            self.best is not None
            and bool(self.baselines)
            and all(self.best > score for score in self.baselines.values())
        )

    def ratio(self, baseline: str) -> float | None:
        score = self.baselines.get(baseline)
        return self.best / score if self.best is not None and score else None


def found(run: RecordedRun, seconds: float) -> Found:
    """The figures of a run, from its records."""
    nets = [Net(run, entry) for entry in run.entries]
    ours = [net for net in nets if not net.is_baseline]
    return Found(
        asked=len(ours),
        trained=sum(net.success for net in ours),
        scores=[net.epochs[-1].accuracy for net in ours if net.whole],
        baselines={net.entry.candidate.name: net.epochs[-1].accuracy for net in nets if net.is_baseline and net.whole},
        seconds=seconds,
    )


def summary(protocol: Protocol, made: Mapping[Settings, Found]) -> Table:
    """The table of an experiment; `made` holds the finished searches."""
    shown = [name for name in protocol.varied if name != "seed"]
    groups: dict[tuple[Value, ...], list[Settings]] = {}
    for settings in protocol.searches:
        groups.setdefault(tuple(getattr(settings, name) for name in shown), []).append(settings)
    baselines = sorted({name for one in made.values() for name in one.baselines})
    columns = (
        *(Column(name, name, "count" if _whole(groups, place) else "text") for place, name in enumerate(shown)),
        Column("planned", "planned", "count"),
        Column("searches", "searches", "count"),
        Column("asked", "asked for", "count"),
        Column("trained", "trained", "count"),
        Column("best", "best, mean", "metric"),
        Column("best_sd", "s.d.", "metric"),
        Column("best_min", "lowest", "metric"),
        Column("best_max", "highest", "metric"),
        *(Column(f"over_{name}", f"best over {name}", "factor") for name in baselines),
        Column("wins", "beat all baselines", "count"),
        Column("median", "median of trained", "metric"),
        Column("seconds", "seconds a search", "seconds"),
    )
    rows = [
        _row(dict(zip(shown, values, strict=True)), group, [made[s] for s in group if s in made], baselines)
        for values, group in groups.items()
    ]
    note = (
        "Finished searches alone count. `best` is the best whole Net's metric after the last epoch of a search: its mean, "
        "sample standard deviation, lowest and highest over the searches of the row. `best over …` is the mean over searches "
        "of the best against that baseline under the same budget, `beat all baselines` in how many searches it was above "
        "each of them. `seconds` is time on the clock, interruptions left out."
    )
    return Table("summary", protocol.title, columns, rows, note)


def _whole(groups: Mapping[tuple[Value, ...], object], place: int) -> bool:
    return all(isinstance(values[place], int) for values in groups)


def _row(varied: Row, planned: Sequence[Settings], made: Sequence[Found], baselines: Sequence[str]) -> Row:
    best = [one.best for one in made if one.best is not None]
    row: Row = {
        name: value if isinstance(value, int) or value is None else str(value) for name, value in varied.items()
    }
    row |= {
        "planned": len(planned),
        "searches": len(made),
        "asked": sum(one.asked for one in made),
        "trained": sum(one.trained for one in made),
        "best": mean(best),
        "best_sd": statistics.stdev(best) if len(best) > 1 else None,
        "best_min": min(best, default=None),
        "best_max": max(best, default=None),
    }
    for name in baselines:
        row[f"over_{name}"] = mean([ratio for one in made if (ratio := one.ratio(name)) is not None])
    return row | {
        "wins": sum(one.wins for one in made),
        "median": median([score for one in made for score in one.scores]),
        "seconds": mean([one.seconds for one in made]),
    }


def compact(table: Table) -> Table:
    """The same for people, in fewer columns: what belongs together stands together."""
    figures = [column.key for column in table.columns].index("planned")
    baselines = tuple(
        Column(column.key, column.label, "factor") for column in table.columns if column.key.startswith("over_")
    )
    columns = (
        *table.columns[:figures],
        Column("searches", "searches"),
        Column("trained", "trained"),
        Column("best", "best: mean ± s.d."),
        Column("range", "lowest, highest"),
        *baselines,
        Column("wins", "beat all baselines"),
        Column("median", "median of trained", "metric"),
        Column("seconds", "seconds a search", "count"),
    )
    rows: list[Row] = []
    for row in table.rows:
        spread = f" ± {text(row['best_sd'], 'metric')}" if row["best_sd"] is not None else ""
        ends = ", ".join(text(row[key], "metric") for key in ("best_min", "best_max") if row[key] is not None)
        short: Row = {
            "searches": f"{row['searches']} of {row['planned']}",
            "trained": f"{row['trained']} of {row['asked']}",
            "best": text(row["best"], "metric") + spread,
            "range": ends,
            "wins": f"{row['wins']} of {row['searches']}",
        }
        rows.append(row | short)
    return Table(table.name, table.title, columns, rows, table.note)


def write(folder: Path, protocol: Protocol, table: Table, source: Source, made: str) -> list[Path]:
    """`summary.csv` and `summary.md` in `folder`; the paths. Raises UsageError where they cannot be written."""
    path = folder / "summary.md"
    replace(path, markdown(protocol, table, source, made).encode("utf-8"))
    return [path, *write_csv(folder, [table])]


def markdown(protocol: Protocol, table: Table, source: Source, made: str) -> str:
    """The table with what was asked, when, by which versions and on what machine."""
    table = compact(table)
    runs = build(source, "runs")[0].rows
    facts = [f"- Made {made} from the runs {', '.join(str(row['run']) for row in runs)}."]
    for what, key in (("Budget", "budget"), ("Versions", "versions"), ("Machine", "machine")):
        facts += [f"- {what}: {escaped(str(value))}" for value in dict.fromkeys(row[key] for row in runs)]
    parts = [f"# {escaped(protocol.title)}", escaped(protocol.text, code=True)]
    parts += ["\n".join(facts), grid(table.columns, table.rows), escaped(table.note, code=True)]
    return "\n\n".join(part for part in parts if part) + "\n"
