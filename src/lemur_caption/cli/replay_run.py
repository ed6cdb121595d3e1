"""`replay`: a run's recorded responses as files, to score the run again without its model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import out, print_json
from .recorded import open_records, run_number


def replay(
    run: Annotated[str, typer.Argument(help="The run's number.")],
    to: Annotated[Path, typer.Option(help="An empty folder for the responses; made where it is missing.")],
    root: options.Root = None,
    json: options.Json = False,
) -> None:
    """Write the responses of a run as text files, in the order in which the model was asked, repairs included.

    `--llm replay:FOLDER` then answers with them, so that prompts, contract or training can be tried anew.
    """
    from ..search.records.recorded import write_responses

    with open_records(root) as records:
        number = records.run(run_number(run)).id
        files = write_responses(records.entries(number), to)
    if json:
        print_json({"run": number, "folder": str(to), "files": files})
    else:
        out.print(f"{files} responses of run {number} written; read them with --llm replay:{to}", markup=False)
