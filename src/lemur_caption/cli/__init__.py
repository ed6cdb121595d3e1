"""The command line: one command a verb, one file a group of commands."""

from __future__ import annotations

import os
import signal
import sys

import typer

from ..errors import DISK_ERRORS, LemurCaptionError
from . import (
    adapt,
    contribute,
    data,
    demo,
    evaluate,
    experiment,
    generate,
    nngpt,
    replay_run,
    report,
    restore,
    rule,
    runs,
    search,
    show,
    store,
    train,
    tune,
    validate,
)
from .interrupt import EXIT_INTERRUPTED

app = typer.Typer(
    name="lemur-caption",
    help="A language model designs image-captioning Nets, a contract checks them, LEMUR trains and keeps them.",
    epilog="Start with `lemur-caption demo`. Exit codes: 0 fine, 1 a candidate or the machine failed, 2 wrong use, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(demo.demo)
app.command()(generate.generate)
app.command()(validate.validate)
app.command()(rule.rule)
app.command()(adapt.adapt)
app.command()(train.train)
app.command()(tune.tune)
app.command()(evaluate.evaluate)
app.command()(search.search)
app.command()(experiment.experiment)
app.command()(runs.runs)
app.command()(show.show)
app.command()(report.report)
app.command()(replay_run.replay)
app.command()(restore.restore)
app.command()(contribute.contribute)
app.add_typer(data.app, name="data")
app.command()(store.register)
app.command()(store.unregister)
app.command()(store.status)
app.command()(nngpt.alter)
app.command()(nngpt.prompts)


def main() -> None:
    """Run the command line. Expected failures are one line on stderr and an exit code, never a traceback."""
    # Threads that spin while they wait make training ten times slower as soon as another program wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A polite stop takes the road of Ctrl-C: child processes and scratch folders go with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except SystemExit as ended:
        if ended.code == EXIT_INTERRUPTED:
            _say("interrupted; what was stored is kept")
        raise
    except LemurCaptionError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        _say(f"{DISK_ERRORS[error.errno]}, so {error.filename or 'a file'} could not be written; free some space")
        sys.exit(1)


def _say(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
