"""`restore`: Nets and statistics out of the records back into a LEMUR store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import out, print_json, progress
from .recorded import open_records, run_number


def restore(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Numbers of runs. Default: all.")] = None,
    root: options.Root = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The root that holds the records. Default: --root, else the working directory."),
    ] = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Put trained Nets and their statistics back into LEMUR's database, after `db/` was deleted or into a fresh root.

    Epochs that are there already stay as they are; a second call changes nothing.
    """
    from ..lemur.root import find_root
    from ..lemur.store import Store
    from ..search.records import database_path
    from ..search.records.restore import Restored
    from ..search.records.restore import restore as put_back

    holder = source
    if holder is None and root is not None and database_path(find_root(root)).exists():
        holder = root
    done = Restored()
    with open_records(holder) as records, progress() as bar:
        chosen = [records.run(run_number(run)) for run in runs] if runs else records.runs()
        task = bar.add_task("restoring runs", total=len(chosen))
        store = Store.open(root, offline=offline)
        for run in chosen:
            done += put_back(store, run, records.entries(run.id))
            bar.advance(task)
    if json:
        print_json(asdict(done) | {"runs": [run.id for run in chosen], "database": str(store.lemur.database)})
        return
    out.print(f"{done.nets} Nets with {done.epochs} epochs restored, {done.present} epochs were there already")
    if done.unrecorded:
        out.print(f"{done.unrecorded} epochs left out: the records hold no statistics of LEMUR's for them")
    out.print(f"LEMUR database {store.lemur.database}", markup=False)
