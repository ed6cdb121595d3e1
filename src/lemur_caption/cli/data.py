"""`data`: what is kept of a dataset so that training never waits for it: encoded captions, decoded images."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from . import options
from .console import err, out, print_json, progress

app = typer.Typer(
    help="Caches of a dataset: its captions read and encoded once, its images decoded and resized once.",
    no_args_is_help=True,
)

Dataset = Annotated[
    str, typer.Argument(help="`shapes` (rendered on first use) or `coco-caption` (COCO 2017 under data/coco).")
]
# A call from a terminal asks before it takes more of the disk.
ASK_BYTES = 10 * 10**9


@app.command()
def prepare(
    dataset: Dataset,
    transform: Annotated[
        list[str] | None,
        typer.Option(help="LEMUR image transform to cache images for; once for each. Default: norm_64."),
    ] = None,
    captions_only: Annotated[bool, typer.Option("--captions-only", help="Cache no images.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that decode. Default: one a core.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before much of the disk is taken.")] = False,
    data: options.Data = None,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Make the caches of a dataset: training then starts at once and decodes no image.

    Makes what is missing and leaves alone what is there and right. A call that was stopped goes on where it was.
    """
    from ..dataset import caption_cache, coco, image_cache

    transforms = {} if captions_only else _transforms(transform or ["norm_64"], root, offline)
    folder = _folder(dataset, data, root)
    captions = caption_cache.prepare(folder)
    coco.prepare_captions(folder)
    jobs = [(name, call, table) for name, call in transforms.items() for table in (captions.train, captions.val)]
    needed = sum(image_cache.estimate(folder, table.split, table.names, call) for _, call, table in jobs)
    _check_room(folder, needed, yes or json)
    with progress() as bar:
        for name, call, table in jobs:
            task = bar.add_task(f"{name} {table.split}", total=len(table))

            def advance(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total)

            image_cache.prepare(folder, table.split, table.names, call, workers=workers, on_progress=advance)
    _report(folder, json)


@app.command()
def status(dataset: Dataset, data: options.Data = None, root: options.Root = None, json: options.Json = False) -> None:
    """Show what is cached of a dataset, how large it is, and whether it is of use. Changes nothing."""
    _report(_folder(dataset, data, root, render=False), json)


@app.command()
def clear(dataset: Dataset, data: options.Data = None, root: options.Root = None, json: options.Json = False) -> None:
    """Remove a dataset's caches, and nothing else. The next run makes anew what it needs."""
    from ..dataset import cache_folder, caption_cache, image_cache, image_check

    folder = _folder(dataset, data, root, render=False)
    freed = image_cache.clear(folder) + caption_cache.clear(folder) + image_check.clear(folder)
    caches = cache_folder.cache_folder(folder)
    cache_folder.remove_if_unused(caches)
    if json:
        print_json({"folder": str(folder), "cache": str(caches), "freed_bytes": freed})
    else:
        out.print(f"removed {freed:,} bytes from {caches}" if freed else f"nothing is cached in {caches}")


def _folder(dataset: str, data: Path | None, root: Path | None, *, render: bool = True) -> Path:
    from ..lemur.loading import dataset_folder
    from ..lemur.root import attach

    with progress() as bar:
        task = bar.add_task("rendering shapes", visible=False)
        return dataset_folder(
            dataset,
            Path() if data else attach(root).data,
            data,
            render=(lambda done: bar.update(task, completed=done, visible=True)) if render else None,
        )


def _transforms(names: Sequence[str], root: Path | None, offline: bool) -> dict[str, Callable[[Any], Any]]:
    """LEMUR's transforms of these names. Raises UsageError for an unknown one."""
    from ..lemur.loading import image_transform
    from ..lemur.store import Store

    store = Store.open(root, offline=offline)
    for name in names:
        store.materialize("transform", name)
    return {name: image_transform(name) for name in names}


def _check_room(folder: Path, needed: int, sure: bool) -> None:
    """Say what the images will take. Raises CacheError where the disk has less."""
    from ..dataset.cache_folder import CacheError, cache_folder

    caches = cache_folder(folder)
    free = shutil.disk_usage(caches).free
    if needed > free:
        raise CacheError(
            f"the images need {_size(needed)} and the disk of {caches} has {_size(free)} left: free some space, "
            "point LEMUR_CAPTION_CACHE at another disk, or choose a transform of smaller images"
        )
    if needed:
        err.print(f"decoded images will take {_size(needed)} of the {_size(free)} that are free in {caches}")
    if needed > ASK_BYTES and not sure and sys.stdin.isatty():
        typer.confirm("go on?", abort=True, err=True)


def _report(folder: Path, json: bool) -> None:
    """What the cache folder holds."""
    from ..dataset import caption_cache, image_cache

    path = caption_cache.cache_path(folder)
    valid, names = caption_cache.peek(folder)
    rows: list[dict[str, Any]] = []
    if path.exists():
        rows.append({"kind": "captions", "path": str(path), "bytes": path.stat().st_size, "valid": valid})
    for entry in image_cache.status(folder, names):
        rows.append(
            {
                "kind": f"images {entry.split}",
                "path": str(entry.path),
                "bytes": entry.bytes,
                "valid": entry.valid,
                "done": entry.done,
                "total": entry.total,
            }
        )
    if json:
        print_json({"folder": str(folder), "cache": str(path.parent), "entries": rows})
        return
    if not rows:
        out.print(f"nothing is cached in {path.parent}")
        return
    table = Table("what", "file", "size", "state", box=None, title=str(path.parent), title_justify="left")
    for row in rows:
        table.add_row(row["kind"], Path(row["path"]).name, _size(row["bytes"]), _state(row))
    out.print(table)


def _state(row: dict[str, Any]) -> str:
    if row["valid"]:
        return "valid"
    if row.get("done", 0) < row.get("total", 0):
        return f"{row['done']} of {row['total']} images done"
    return "stale: made anew when needed"


def _size(count: int) -> str:
    """A number of bytes in units of 1,000."""
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
