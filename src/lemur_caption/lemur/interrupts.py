"""Letting a write to the store come to its end when somebody presses Ctrl-C in the middle of it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM until the block is over. Does nothing outside the main thread, which alone gets them.

    An exception that a signal raises in the middle of a write may come up where Python can only print it (a finalizer, a
    callback from C): then the interrupt would be lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    before = {number: signal.signal(number, lambda *arrived: received.append(arrived)) for number in _HELD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for arrived, frame in received[:1]:
            handler = before[signal.Signals(arrived)]
            if callable(handler):
                handler(arrived, frame)
