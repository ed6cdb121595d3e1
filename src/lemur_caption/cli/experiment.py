"""`experiment`: the searches that a file describes, made one after another, and what they came to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..candidate import printable, short_name
from . import options
from .console import err, out, print_json, progress, stdout_for_results
from .interrupt import EXIT_INTERRUPTED, Interrupt
from .recorded import open_records
from .report import now, stored, write

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..experiment.book import Book
    from ..experiment.protocol import Protocol
    from ..search.loop import Search
    from ..search.parts import Event
    from ..search.settings import Settings


def experiment(
    file: Annotated[Path, typer.Argument(help="The experiment: a TOML file, such as those in experiments/.")],
    to: Annotated[
        Path, typer.Option(help="Folder for the report and the summary; a second call goes on with what is in it.")
    ],
    workers: Annotated[
        int, typer.Option(min=0, help="Trials at a time. Default: one for each GPU, or for each CPU core.")
    ] = 0,
    executor: Annotated[
        str, typer.Option(help="Where trials run: `local`, or `ray` (needs the extra `ray`).")
    ] = "local",
    take_over: options.TakeOver = False,
    root: options.Root = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Make every search that an experiment's file describes, then report on all of them and compare them.

    Each search is a run of the records. A call that was stopped or killed goes on where it was when it is repeated, and
    makes nothing twice. Ctrl-C finishes what is being trained and stops; a second Ctrl-C stops at once.
    """
    from ..experiment import protocol as files
    from ..experiment.book import Book
    from ..experiment.running import ApartStore, Experiment, check, render
    from ..lemur.root import find_root

    folder = find_root(root or Path.cwd())
    protocol = files.read(file, folder / "data")
    store = ApartStore.open(root, offline=offline)
    check(protocol, store, executor)
    book = Book(to, store.lemur.root)
    with stdout_for_results(), progress() as bar:
        if protocol.shapes is not None:
            task = bar.add_task("rendering shapes", total=protocol.shapes.train + protocol.shapes.val)
            render(protocol, store.lemur.data, lambda done: bar.update(task, completed=done))
            bar.remove_task(task)
        watch = _Watch(bar, protocol)
        finished = Experiment(protocol, store, book, watch, workers, executor, take_over).run()
    _conclude(protocol, book, to, root, json)
    if not finished:
        err.print("not all searches are finished; the same command goes on with them", style="yellow")
    raise typer.Exit(0 if finished else EXIT_INTERRUPTED)


def _conclude(protocol: Protocol, book: Book, to: Path, root: Path | None, json: bool) -> None:
    """Write the report over the experiment's runs and the summary, and print the latter."""
    from ..experiment import summary
    from ..report import build
    from ..report.output import terminal
    from ..report.source import read

    with open_records(root) as records:
        begun = {settings: run for settings in protocol.searches if (run := book.find(settings, records)) is not None}
        if not begun:
            return
        source = read(records, [run.id for run in begun.values()], stored(root))
    made = {
        settings: summary.found(run, book.seconds(run.run.id))
        for settings, run in zip(begun, source.runs, strict=True)
        if run.state == "finished"
    }
    table = summary.summary(protocol, made)
    files = {"markdown": to / "report.md", "csv": to / "csv", "html": to / "report.html"}
    written = [*summary.write(to, protocol, table, source, now()), *write(source, build(source), root=root, **files)]
    err.print(f"written: {', '.join(map(str, written))}", markup=False)
    if json:
        runs = {run.id: settings.to_dict() for settings, run in begun.items()}
        print_json({"title": protocol.title, "text": protocol.text, "summary": table.to_dict(), "runs": runs})
    else:
        terminal.show(out, source, [summary.compact(table)])


class _Watch:
    """The live part: a line a candidate, how far each search is, and what Ctrl-C does."""

    def __init__(self, bar: Progress, protocol: Protocol) -> None:
        self._bar, self._protocol = bar, protocol
        self._task = bar.add_task("experiment", total=sum(settings.n for settings in protocol.searches))
        self._interrupt = Interrupt("the same command goes on later")
        self._number = 0

    @property
    def stopped(self) -> bool:
        return self._interrupt.stopped

    def begin(self, number: int, settings: Settings, run: int, search: Search, ended: int) -> None:
        self._number = number
        before = sum(earlier.n for earlier in self._protocol.searches[: number - 1])
        self._bar.update(self._task, completed=before + ended)
        words = f"search {number} of {len(self._protocol.searches)}, run {run}: {self._protocol.label(settings)}"
        err.print(words, markup=False, style="bold")
        self._interrupt.watch(search)

    def event(self, event: Event) -> None:
        if event.kind != "ended":
            return
        candidate = event.candidate
        outcome = candidate.outcome.value if candidate.outcome else ""
        score = f" {candidate.epochs[-1].accuracy:.4f}" if candidate.epochs else ""
        ended = f"{outcome}{score} {printable(candidate.detail)}".rstrip()
        err.print(f"{self._number:>3} | {event.index:>3} {short_name(candidate.name)}: {ended}", markup=False)
        if event.index >= 0:
            self._bar.advance(self._task)
