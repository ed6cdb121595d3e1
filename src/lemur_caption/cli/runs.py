"""`runs`: the searches that the records know."""

from __future__ import annotations

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from . import options
from .console import out, print_json
from .recorded import open_records


def runs(root: options.Root = None, json: options.Json = False) -> None:
    """List the runs of `lemur-caption search` here: when, how each stands, with what settings, and its best metric."""
    with open_records(root) as records:
        found = records.runs()
        holders = {run.id: records.holder(run.id) for run in found}
    if json:
        print_json([run.to_dict() for run in found])
        raise typer.Exit(0)
    table = Table(title=f"Runs in {records.path}", box=box.SIMPLE_HEAD)
    for heading in ("run", "started (UTC)", "state", "llm", "strategy", "n", "saved", "trained", "best"):
        table.add_column(heading, justify="right" if heading in ("run", "n", "saved", "trained", "best") else "left")
    for run in found:
        holder = holders[run.id]
        state = "killed" if run.state.value == "running" and holder and not holder.alive else run.state.value
        settings = [str(run.settings.get(key, "")) for key in ("llm", "strategy", "n")]
        best = "" if run.best is None else f"{run.settings.get('metric', '')} {run.best:.4f}".strip()
        cells = [str(run.id), run.started[:16].replace("T", " "), state, *settings]
        table.add_row(*map(Text, [*cells, str(run.candidates), str(run.trained), best]))
    out.print(table)
    raise typer.Exit(0)
