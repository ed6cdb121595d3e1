"""`register`, `unregister` and `status`: our task in LEMUR's registry."""

from __future__ import annotations

import typer

from ..errors import GeneratorError
from ..lemur import bootstrap, registry
from ..lemur.root import attach, lemur_version
from . import options
from .console import err, out, print_json


def register(root: options.Root = None, offline: options.Offline = False, json: options.Json = False) -> None:
    """Register the captioning task with LEMUR: loaders, metrics, transforms and the baseline Nets.

    Makes LEMUR's database first where there is none. A second call changes nothing.
    """
    lemur = attach(root)
    database = bootstrap.ensure_database(lemur, offline=offline)
    written = registry.register(lemur)
    if json:
        print_json({"root": str(lemur.root), "database": str(lemur.database), "made": database, "written": written})
        return
    out.print(f"LEMUR database {lemur.database} ({database})")
    out.print("registered " + ", ".join(written) if written else "everything was registered already; nothing changed")


def unregister(root: options.Root = None, json: options.Json = False) -> None:
    """Take the captioning task out of LEMUR again. Code that stored results refer to stays."""
    lemur = attach(root)
    removed, kept = registry.unregister(lemur)
    if json:
        print_json({"root": str(lemur.root), "removed": removed, "kept": kept})
        return
    out.print("removed " + ", ".join(removed) if removed else "nothing was registered; nothing changed")
    if kept:
        out.print("kept in the database, since results refer to it: " + ", ".join(kept))


def status(root: options.Root = None, json: options.Json = False) -> None:
    """Show what LEMUR and lemur-caption have here. Changes nothing; exit code 1 while not registered."""
    from .. import __version__
    from ..generator.smollm2 import locate_weights
    from ..lemur.store import Store

    lemur = attach(root)
    states = registry.status(lemur)
    counts = Store(lemur).counts() if lemur.database.exists() else None
    try:
        weights = str(locate_weights())
    except GeneratorError as error:
        weights = str(error)
    registered = all(state.registered for state in states)
    if json:
        print_json(
            {
                "lemur_caption": __version__,
                "nn_dataset": lemur_version(),
                "root": str(lemur.root),
                "database": str(lemur.database) if counts else None,
                "counts": counts,
                "registered": registered,
                "items": [{"kind": s.item.kind, "name": s.item.name, "file": s.file, "row": s.row} for s in states],
                "smollm2": weights,
            }
        )
        raise typer.Exit(0 if registered else 1)
    out.print(f"lemur-caption {__version__} beside nn-dataset {lemur_version()}")
    out.print(f"root      {lemur.root}")
    if counts:
        out.print(f"database  {lemur.database}: {counts['nets']} Nets, {counts['results']} results, "
                  f"{counts['captioning_results']} of them captioning")  # fmt: skip
    else:
        out.print("database  none yet; `lemur-caption register` makes it")
    for state in states:
        where = f"file {state.file}" + (f", row {state.row}" if state.row else "")
        out.print(f"  {state.item.kind + '/' + state.item.name:<28} {where}")
    out.print(f"smollm2   {weights}")
    if not registered:
        err.print("not registered here; run `lemur-caption register`")
        raise typer.Exit(1)
