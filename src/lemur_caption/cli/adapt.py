"""`adapt`: rewrite older captioning Nets for today's LEMUR, as a diff or in place."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from . import options
from .console import print_json


def adapt(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Net files of an older LEMUR.")],
    write: Annotated[bool, typer.Option("--write", help="Change the files in place. Default: print a diff.")] = False,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Start torchvision models from random weights, not a download.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Rewrite older captioning Nets so that today's LEMUR trains them.

    Comments and layout stay; what is not safe is refused with a reason. Exit codes: 0 all adapted or nothing to do,
    1 something was refused, 2 wrong use.
    """
    sources = [(file, _read(file)) for file in files]
    from ..source.adapt import AdaptError
    from ..source.adapt import adapt as rewrite

    results: list[dict[str, Any]] = []
    for file, source in sources:
        changes: list[dict[str, Any]] = []
        try:
            adaptation = rewrite(source, random_weights=random_weights)
        except AdaptError as error:
            adapted, refusals = source, [str(error)]
        else:
            adapted, refusals = adaptation.source, adaptation.refusals
            changes = [{"name": c.name, "line": c.line, "description": c.description} for c in adaptation.changes]
        written = write and adapted != source
        if written:
            _replace(file, adapted)
        diff = _diff(file, source, adapted)
        if not json:
            for refusal in refusals:
                print(f"{file}: {refusal}", file=sys.stderr)
            if write:
                for change in changes:
                    print(f"{file}:{change['line']}: {change['name']}: {change['description']}")
            else:
                print(diff, end="")
        results.append({"file": str(file), "written": written, "changes": changes, "refusals": refusals, "diff": diff})
    if json:
        print_json(results)
    raise typer.Exit(1 if any(result["refusals"] for result in results) else 0)


def _read(file: Path) -> str:
    if not file.is_file():
        raise UsageError(f"there is no file {file}; give Net files (Python)")
    try:
        # Bytes, because reading as text would change the line ends.
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"the file {file} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the file {file} is not text in UTF-8 ({error.reason}); give Net files (Python)") from error


def _diff(file: Path, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{file}", f"b/{file}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _replace(file: Path, source: str) -> None:
    """Put the new text in the file's place at once, so that it is never half-written."""
    target = file.resolve()
    try:
        handle, scratch = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(source.encode("utf-8"))
            Path(scratch).chmod(target.stat().st_mode)
            Path(scratch).replace(target)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"the file {file} cannot be written ({error.strerror}); it is as it was") from error
