"""A run's recorded responses as files, for `--llm replay:FOLDER`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...candidate import Candidate
from ...errors import UsageError
from .candidates import Entry, State


def responses(candidate: Candidate) -> Iterator[tuple[int, str]]:
    """What the model was asked for one candidate, in order: the seed of each call, and its response.

    A response that the model failed to give is empty, and a repair that was not asked for is none.
    """
    yield candidate.seed, candidate.response
    for number, repair in enumerate(candidate.repairs):
        if not repair.note.startswith("not asked"):
            yield random.Random(f"{candidate.seed}/repair{number}").getrandbits(31), repair.response


def write_responses(entries: Iterable[Entry], folder: Path) -> int:
    """Write each response to a file of its own, so that name order is the order in which the model was asked.

    Candidates that have no answer yet are left out. Returns the number of files. Raises UsageError when the folder cannot
    be written or holds recorded responses already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.glob("*.txt")):
            raise UsageError(f"the folder {folder} holds *.txt files already; choose an empty one")
        count = 0
        for entry in entries:
            if entry.state is not State.PLANNED:
                for call, (seed, text) in enumerate(responses(entry.candidate)):
                    path = folder / f"{entry.index:06}-{call}-seed{seed}.txt"
                    path.write_bytes(text.encode("utf-8"))
                    count += 1
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be written ({error.strerror}); choose another") from error
    return count
