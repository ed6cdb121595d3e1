"""What one sees of a search while it runs: a table that lives on a terminal, or a line an event where there is none."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..candidate import printable, short_name
from .console import err

if TYPE_CHECKING:
    from ..candidate import Candidate
    from ..search.parts import Event
    from ..search.settings import Settings

BEST = 5
_BARS = "▁▂▃▄▅▆▇█"


@contextlib.contextmanager
def shown(settings: Settings, ended: int = 0) -> Iterator[Callable[[Event], None]]:
    """What to report a search's events to, from any thread. `ended` candidates had ended when it was resumed."""
    if not err.is_terminal:
        yield lambda event: err.print(_line(settings, event), markup=False)
        return
    table = LiveTable(settings, ended)
    with Live(get_renderable=table.render, console=err, refresh_per_second=4, transient=True):
        yield table.event


def _line(settings: Settings, event: Event) -> str:
    candidate = event.candidate
    if event.kind == "epoch" and event.epoch is not None:
        told = f"epoch {event.epoch.epoch}: {settings.metric} {event.epoch.accuracy:.4f}"
    elif event.kind == "checked":
        told = "sound"
    else:
        told = f"{candidate.outcome.value if candidate.outcome else ''} {printable(candidate.detail)}".rstrip()
    return f"{event.index:>3} {short_name(candidate.name)}: {told}"


class LiveTable:
    """The Nets under way and the best so far, and below them how far the search is."""

    def __init__(self, settings: Settings, ended: int = 0) -> None:
        self._settings, self._done, self._before = settings, ended, ended
        self._running: dict[int, Candidate] = {}
        self._ended: dict[int, Candidate] = {}
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def event(self, event: Event) -> None:
        with self._lock:
            if event.kind == "ended":
                self._running.pop(event.index, None)
                self._ended[event.index] = event.candidate
                self._done += event.index >= 0
            else:
                self._running[event.index] = event.candidate

    def render(self) -> RenderableType:
        with self._lock:
            table = Table(box=box.SIMPLE_HEAD)
            for heading in ("#", "Net", "encoder", "decoder", "epochs", self._settings.metric, "", ""):
                number = heading in ("#", "epochs", self._settings.metric)
                table.add_column(heading, justify="right" if number else "left", no_wrap=True)
            trained = [item for item in self._ended.items() if item[1].epochs]
            best = sorted(trained, key=lambda item: -item[1].epochs[-1].accuracy)[:BEST]
            for index, candidate in best:
                table.add_row(*self._row(index, candidate), candidate.outcome.value if candidate.outcome else "")
            for index, candidate in sorted(self._running.items()):
                state = "training" if candidate.epochs else "waiting or starting"
                table.add_row(*self._row(index, candidate), state, style="dim" if not candidate.epochs else "")
            return Group(table, self._progress())

    def _row(self, index: int, candidate: Candidate) -> tuple[str, ...]:
        encoder, decoder = _words(candidate)
        scores = [epoch.accuracy for epoch in candidate.epochs]
        return (
            str(index) if index >= 0 else "base",
            short_name(candidate.name),
            encoder,
            decoder,
            f"{len(scores)}/{self._settings.epochs}",
            f"{scores[-1]:.4f}" if scores else "",
            "".join(_bar(score) for score in scores),
        )

    def _progress(self) -> RenderableType:
        counts = Counter(c.outcome.value for i, c in self._ended.items() if i >= 0 and c.outcome)
        spent = time.monotonic() - self._started
        told = [f"{self._done} of {self._settings.n} candidates", _clock(spent)]
        new = self._done - self._before
        if 0 < self._done < self._settings.n and new:
            told.append(f"about {_clock(spent / new * (self._settings.n - self._done))} left")
        told += [f"{count} {outcome}" for outcome, count in sorted(counts.items())]
        return Group(ProgressBar(self._settings.n, self._done, width=40), Text("  ".join(told)))


def _words(candidate: Candidate) -> tuple[str, str]:
    if not candidate.design:
        return "", ""
    from ..architecture import Design, describe

    words = describe(Design.model_validate(candidate.design))
    return words["encoder"], words["decoder"]


def _bar(score: float) -> str:
    """A score in [0, 1] as the height of a block; a space where it is no number."""
    return _BARS[min(int(max(score, 0.0) * len(_BARS)), len(_BARS) - 1)] if score == score else " "


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
