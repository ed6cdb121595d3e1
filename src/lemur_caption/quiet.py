"""Dropping what other packages print, in the calling thread alone.

contextlib.redirect_stdout changes the stream of the whole program: meanwhile other threads lose what they print, and two
threads that overlap leave the stream changed for good.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Literal

_lock = threading.Lock()
_within = {"stdout": 0, "stderr": 0}  # how many contexts hold each stream, in all threads
_local = threading.local()


class _Filtered:
    """A standard stream without what its quiet threads write. It may outlive the context: to others it is the stream."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name, self.stream = name, stream

    def write(self, text: str) -> int:
        return len(text) if getattr(_local, self._name, 0) else self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.stream, attribute)


@contextlib.contextmanager
def quiet(*names: Literal["stdout", "stderr"]) -> Iterator[None]:
    """Drop what this thread writes to the streams of these names, `stdout` by default. Exceptions pass through.

    What a child process or code below Python writes is not touched.
    """
    names = names or ("stdout",)
    for name in names:
        with _lock:
            if not isinstance(getattr(sys, name), _Filtered):
                setattr(sys, name, _Filtered(name, getattr(sys, name)))
            _within[name] += 1
        setattr(_local, name, getattr(_local, name, 0) + 1)
    try:
        yield
    finally:
        for name in names:
            setattr(_local, name, getattr(_local, name) - 1)
            with _lock:
                _within[name] -= 1
                stream = getattr(sys, name)
                # Another program may have put a stream of its own there since; then that one stays.
                if _within[name] == 0 and isinstance(stream, _Filtered):
                    setattr(sys, name, stream.stream)
