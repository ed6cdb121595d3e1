"""`report`: what searches came to, as tables, files for other programs, and one HTML page."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import options
from .console import err, out, print_json
from .recorded import open_records, run_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..report import Source, Stored, Table


def report(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Numbers of runs. Default: all.")] = None,
    table: Annotated[str | None, typer.Option(help="One table alone, whole; an unknown name lists them.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this Markdown file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a CSV file a table into this folder.")] = None,
    parquet: Annotated[
        Path | None, typer.Option(help="Write a Parquet file a table into this folder; needs pyarrow.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one page with tables, charts and sample images, for any browser.")
    ] = None,
    data: options.Data = None,
    root: options.Root = None,
    json: options.Json = False,
) -> None:
    """Report on searches: families, success rates, best Nets against the baselines, curves, findings, costs, captions.

    Prints tables where no file is asked for. Changes nothing, trains nothing, and needs no network.
    """
    from ..report import build
    from ..report.output import terminal
    from ..report.source import read
    from ..report.tables import check_name

    if table is not None:
        check_name(table)
    numbers = [run_number(run) for run in runs or []]
    with open_records(root) as records:
        source = read(records, list(dict.fromkeys(numbers)), stored(root, table))
    tables = build(source, table)
    written = write(source, tables, markdown=markdown, csv=csv, parquet=parquet, html=html, root=root, data=data)
    if json:
        print_json({made_table.name: made_table.to_dict() for made_table in tables})
    elif written:
        err.print(f"written: {', '.join(map(str, written))}", markup=False)
    else:
        terminal.show(out, source, tables)


def now() -> str:
    """The time that a report says it was made."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def write(
    source: Source,
    tables: Sequence[Table],
    *,
    markdown: Path | None = None,
    csv: Path | None = None,
    parquet: Path | None = None,
    html: Path | None = None,
    root: Path | None = None,
    data: Path | None = None,
) -> list[Path]:
    """Write the tables into the files that are wanted; the paths. Raises UsageError where one cannot be written."""
    from ..report.output import files
    from ..report.output.markdown import markdown as as_markdown

    written, made = [], now()
    if markdown is not None:
        files.replace(markdown, as_markdown(source, tables, made).encode("utf-8"))
        written.append(markdown)
    if csv is not None:
        written += files.write_csv(csv, tables)
    if parquet is not None:
        written += files.write_parquet(parquet, tables)
    if html is not None:
        from ..report.output.page import page

        files.replace(html, page(source, tables, made, _folders(source, root, data)).encode("utf-8"))
        written.append(html)
    return written


def stored(root: Path | None, table: str | None = None) -> list[Stored]:
    """LEMUR's captioning results, for one table or a whole report.

    None where its database is missing, which a reader does not make. Raises StoreError for a database that cannot be read.
    """
    if table not in (None, "best", "lemur"):
        # Importing LEMUR takes seconds.
        return []
    from ..lemur.root import Lemur, attach, find_root, package_folder
    from ..lemur.store import Store
    from ..report import Stored

    database = Lemur(find_root(root or Path.cwd()), package_folder()).database
    if not database.exists():
        return []
    results = Store(attach(root)).results()
    return [
        Stored(str(row["nn"]), str(row["dataset"]), str(row["metric"]), int(row["epoch"]), float(row["accuracy"]))
        for row in results
    ]


def _folders(source: Source, root: Path | None, data: Path | None) -> dict[int, Path]:
    """Where each run's images lie: `data`, the run's own `--data`, or its dataset's place under LEMUR's root."""
    from ..lemur.loading import FOLDERS
    from ..lemur.root import find_root

    if data is not None and not data.is_dir():
        raise UsageError(f"there is no folder {data}; give the data set's folder, or leave out --data")
    found = {}
    for recorded in source.runs:
        own, dataset = recorded.setting("data"), str(recorded.setting("dataset"))
        default = find_root(root or Path.cwd()) / "data" / FOLDERS.get(dataset, dataset)
        found[recorded.run.id] = data or (Path(own) if own else default)
    return found
