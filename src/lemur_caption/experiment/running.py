"""The searches of an experiment, one after another; what is finished is not made again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from ..dataset.shapes import render_shapes
from ..lemur.store import Store
from ..search import session
from ..search.loop import Search
from ..search.parts import Event
from ..search.records import Records, RunState
from ..search.settings import Settings
from .book import Book
from .protocol import Protocol


class ApartStore(Store):
    """LEMUR's store as a search sees it that must not depend on the searches before it.

    Two searches of an experiment may well come to the same Net; it is a duplicate in neither, and trains in both.
    """

    def captioning_nets(self) -> list[tuple[str, str]]:
        """The captioning Nets that no recorded search has made."""
        with Records.open(self.lemur.root) as records:
            made = records.names()
        return [(name, code) for name, code in super().captioning_nets() if name not in made]


class Watch(Interface):
    """Who watches an experiment, and may stop it."""

    @property
    def stopped(self) -> bool:
        """Whether no further search should begin."""

    def begin(self, number: int, settings: Settings, run: int, search: Search, ended: int) -> None:
        """Search `number`, from 1, begins, or goes on after the candidates that have `ended`."""

    def event(self, event: Event) -> None:
        """Something has happened in it. Called from several threads."""


def check(protocol: Protocol, store: Store, executor: str) -> None:
    """Say what is wrong with any of the searches before hours have gone into the first; see `session.check`."""
    for settings in protocol.searches:
        session.check(store, settings, executor)


def render(protocol: Protocol, data: Path, progress: Callable[[int], None]) -> None:
    """Render the experiment's own `shapes` where it is missing."""
    if protocol.shapes is not None:
        shapes = protocol.shapes
        render_shapes(shapes.folder(data), train=shapes.train, val=shapes.val, progress=progress)


@dataclass(frozen=True)
class Experiment:
    """A protocol and what its searches need. `workers`, `executor`, `take_over`: see the command line's options of
    these names."""

    protocol: Protocol
    store: Store
    book: Book
    watch: Watch
    workers: int = 0
    executor: str = "local"
    take_over: bool = False

    def run(self) -> bool:
        """Make every search that is not finished yet, in the order of the protocol; True where all are finished then.

        May be killed at any moment and called again. Raises what `session.opened` and `Search.run` raise.
        """
        finished = 0
        for number, settings in enumerate(self.protocol.searches, 1):
            if self.watch.stopped:
                break
            with Records.open(self.store.lemur.root) as records:
                before = self.book.find(settings, records)
            if before is not None and before.state is RunState.FINISHED:
                finished += 1
            else:
                finished += self._search(number, settings, None if before is None else str(before.id))
        return finished == len(self.protocol.searches)

    def _search(self, number: int, settings: Settings, resume: str | None) -> bool:
        started = time.monotonic()
        with session.opened(
            self.store, settings, resume, self.executor, self.workers, take_over=self.take_over
        ) as opened:
            self.book.add(opened.run, settings)
            before = self.book.seconds(opened.run) - started

            def note(event: Event) -> None:
                if event.kind == "ended":
                    self.book.spent(opened.run, before + time.monotonic())
                self.watch.event(event)

            search = opened.search(note)
            self.watch.begin(number, settings, opened.run, search, opened.ended)
            state = search.run()
            self.book.spent(opened.run, before + time.monotonic())
        return state is RunState.FINISHED
