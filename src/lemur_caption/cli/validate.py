"""`validate`: hold Net files against the contract, like a linter."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .console import progress


class Format(str, enum.Enum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


class Profile(str, enum.Enum):
    """How much of the contract is asked: all of it, or what LEMUR needs to run an older Net."""

    STRICT = "strict"
    LENIENT = "lenient"


def validate(
    files: Annotated[list[Path], typer.Argument(help="Net files.")],
    output_format: Annotated[Format, typer.Option("--format", help="How to write the findings.")] = Format.TEXT,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    select: Annotated[str, typer.Option(help="Only these rules, with commas; LC5 means all LC5xx.")] = "",
    ignore: Annotated[str, typer.Option(help="Not these rules.")] = "",
    static: Annotated[
        bool, typer.Option("--static", help="Source rules alone: runs nothing, many files fast.")
    ] = False,
    profile: Annotated[Profile, typer.Option(help="Which contract to hold the Nets to.")] = Profile.STRICT,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds a Net may take.")] = 60.0,
) -> None:
    """Check Net files against the API contract before any training. Exit codes: 0 sound, 1 findings, 2 wrong use."""
    from .. import contract
    from ..contract import formats

    for file in files:
        if not file.is_file():
            raise UsageError(f"there is no file {file}; give Net files (Python)")
    chosen = {"select": _codes(select), "ignore": _codes(ignore)}
    reports = []
    with progress() as bar, contract.ValidatorPool() as pool:
        task = bar.add_task("checking Nets", total=len(files))
        for file in files:
            try:
                source = file.read_bytes()
            except OSError as error:
                raise UsageError(f"the file {file} cannot be read ({error.strerror})") from error
            report = contract.validate(
                source, profile=profile.value, timeout_s=timeout, static_only=static, pool=pool, **chosen
            )
            reports.append((str(file), report))
            bar.advance(task)
    write = getattr(formats, Format.JSON.value if json else output_format.value)
    print(write(reports))
    raise typer.Exit(0 if all(report.ok for _, report in reports) else 1)


def _codes(text: str) -> list[str] | None:
    return [code.strip() for code in text.split(",") if code.strip()] or None
