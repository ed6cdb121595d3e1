"""Where the command line speaks: results on stdout, all else on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

# A file or a pipe has no width of its own; tables get one that keeps their rows whole.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Plain JSON, never coloured or wrapped."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


@contextlib.contextmanager
def stdout_for_results() -> Iterator[None]:
    """Send to stderr what other packages print meanwhile, in any thread: Ray tells on stdout that a node has died."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def progress() -> Progress:
    """A progress bar on stderr; silent where stderr is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
