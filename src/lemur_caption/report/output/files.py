"""Tables as files for other programs: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import DISK_ERRORS, UsageError
from ..table import Table, Value


def write_csv(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """`NAME.csv` for every table, with full names and unrounded numbers. Raises UsageError for an unusable folder."""

    def write(table: Table, path: Path) -> None:
        stream = io.StringIO(newline="")
        writer = csv.writer(stream)
        writer.writerow([column.key for column in table.columns])
        writer.writerows([[_cell(row[column.key]) for column in table.columns] for row in table.rows])
        replace(path, stream.getvalue().encode("utf-8"))

    return _write(folder, tables, "csv", write)


def write_parquet(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """`NAME.parquet` for every table. Raises UsageError where pyarrow is missing, and for an unusable folder."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("Parquet needs pyarrow, which is not installed; `pip install pyarrow`, or write --csv")
    import pandas

    def write(table: Table, path: Path) -> None:
        columns = {column.key: [row[column.key] for row in table.rows] for column in table.columns}
        numeric = {column.key for column in table.columns if column.numeric}
        frame = pandas.DataFrame(
            {
                key: pandas.Series(values, dtype="Float64" if key in numeric else "string")
                for key, values in columns.items()
            }
        )
        stream = io.BytesIO()
        frame.to_parquet(stream, index=False)
        replace(path, stream.getvalue())

    return _write(folder, tables, "parquet", write)


def _cell(value: Value) -> Value:
    """A spreadsheet would take a text that begins like a formula for one; an apostrophe says that it is text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _write(folder: Path, tables: Sequence[Table], kind: str, write: Callable[[Table, Path], None]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be made ({error.strerror}); choose another") from error
    paths = []
    for table in tables:
        paths.append(folder / f"{table.name}.{kind}")
        write(table, paths[-1])
    return paths


def replace(path: Path, content: bytes) -> None:
    """Write a file in one step, so that nobody ever reads half of it. Raises UsageError where it cannot be written,
    and OSError where the disk has no room."""
    try:
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            # mkstemp's own file is private to the user.
            Path(scratch).chmod(0o644)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno in DISK_ERRORS:
            # No fault of the call's; the command line says it.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise UsageError(f"the file {path} cannot be written ({error.strerror}); choose another place") from error
