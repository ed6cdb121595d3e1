"""`validate`: hold Net files against the contract, like a linter."""

from __future__ import annotations

import contextlib
import enum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .console import err, progress


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
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Net files.")],
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
    from .. import plugins
    from ..contract import RULES, ContractReport, formats
    from ..contract.validator import ValidatorPool
    from ..contract.validator import validate as check

    reports: dict[str, ContractReport] = {}
    with progress() as bar, contextlib.ExitStack() as stack:
        pool = None if static else stack.enter_context(ValidatorPool())
        task = bar.add_task("checking Nets", total=len(files))
        for file in files:
            try:
                source = file.read_bytes()
            except OSError as error:
                raise UsageError(f"the file {file} cannot be read ({error.strerror}); give Net files") from error
            reports[str(file)] = check(
                source,
                profile=profile.value,
                timeout_s=timeout,
                static_only=static,
                select=_codes(select),
                ignore=_codes(ignore),
                pool=pool,
            )
            bar.advance(task)
    chosen = Format.JSON if json else output_format
    added = {rule.rule.id: rule.rule for rule in plugins.rules()}
    print(formats.FORMATS[chosen.value](reports, RULES | added), end="")
    broken = sum(not report.ok for report in reports.values())
    if chosen is Format.TEXT:
        print(
            f"{broken} of {len(reports)} Nets break the contract"
            if broken
            else f"{len(reports)} Nets keep the contract"
        )
        protections = next((report.protections for report in reports.values() if report.protections), None)
        if protections:
            err.print(
                "protections in force: " + ", ".join(f"{key} {_told(value)}" for key, value in protections.items())
            )
    raise typer.Exit(1 if broken else 0)


def _told(value: bool | str) -> str:
    return {True: "yes", False: "NO"}.get(value, str(value)) if isinstance(value, bool) else value


def _codes(text: str) -> list[str] | None:
    return [code.strip() for code in text.split(",") if code.strip()] or None
