"""What Ctrl-C does to searches: once, what is being trained is finished; twice, everything stops at once."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from .console import err

if TYPE_CHECKING:
    from ..search.loop import Search

EXIT_INTERRUPTED = 128 + signal.SIGINT


class Interrupt:
    """Takes SIGINT over from where it is made. `go_on` tells a person how to go on later."""

    def __init__(self, go_on: str) -> None:
        self._go_on = go_on
        self._search: Search | None = None
        self._times = 0
        signal.signal(signal.SIGINT, self._signalled)

    @property
    def stopped(self) -> bool:
        """Whether no further search should begin."""
        return self._times > 0

    def watch(self, search: Search) -> None:
        """From now on it is this search that is stopped; at once, where that has been asked for already."""
        self._search = search
        self._stop()

    def _signalled(self, *_: Any) -> None:
        self._times += 1
        if self._times == 1:
            err.print("finishing what is being trained; Ctrl-C again stops at once", style="yellow")
        else:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            err.print(f"stopping; {self._go_on}", style="yellow")
        self._stop()
        if self._times > 1:
            # The main thread may be waiting for a language model's answer.
            raise KeyboardInterrupt

    def _stop(self) -> None:
        if self._search is None:
            return
        if self._times == 1:
            self._search.stop()
        elif self._times > 1:
            # A handler must not wait for a server that is starting, whose lock this very thread may hold.
            threading.Thread(target=self._search.abort, daemon=True).start()
