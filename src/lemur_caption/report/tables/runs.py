"""The runs: what was asked for, with what, and how each stands."""

from __future__ import annotations

from ..source import Net, RecordedRun, Source, budget_label
from ..table import Column, Row, Table

_VERSIONS = ("lemur-caption", "nn-dataset", "torch", "transformers", "python")


def table(source: Source) -> Table:
    columns = (
        Column("run", "run", "count"),
        Column("state", "state"),
        Column("started", "started (UTC)"),
        Column("model", "model"),
        Column("strategy", "strategy"),
        Column("snippets", "snippets", "count"),
        Column("feedback", "feedback"),
        Column("seed", "seed", "count"),
        Column("budget", "data and budget"),
        Column("asked", "asked for", "count"),
        Column("recorded", "recorded", "count"),
        Column("ended", "ended", "count"),
        Column("trained", "trained", "count"),
        Column("versions", "versions"),
        Column("machine", "machine"),
    )
    rows = [_row(recorded, [net for net in source.candidates if net.recorded is recorded]) for recorded in source.runs]
    note = "A killed run says `running` and has no living process; `lemur-caption search --resume` goes on with it."
    return Table("runs", "Runs", columns, rows, note)


def _row(recorded: RecordedRun, nets: list[Net]) -> Row:
    run = recorded.run
    versions = [f"{name} {run.versions[name]}" for name in _VERSIONS if name in run.versions]
    machine = [*run.versions.get("devices", []), run.versions.get("platform", "")]
    return {
        "run": run.id,
        "state": recorded.state,
        "started": run.started[:16].replace("T", " "),
        "model": recorded.setting("llm"),
        "strategy": recorded.setting("strategy"),
        "snippets": recorded.setting("snippets"),
        "feedback": recorded.setting("feedback"),
        "seed": recorded.setting("seed"),
        "budget": budget_label(recorded.budget),
        "asked": recorded.setting("n"),
        "recorded": len(nets),
        "ended": sum(net.ended for net in nets),
        "trained": sum(net.success for net in nets),
        "versions": ", ".join(versions),
        "machine": ", ".join(map(str, filter(None, machine))),
    }
