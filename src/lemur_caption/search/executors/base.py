"""What a search asks of the place where its trials run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ...candidate import Epoch

if TYPE_CHECKING:
    from ...lemur.runner import TrialResult
    from ...lemur.trial import TrialJob

OnEpoch = Callable[[Epoch], bool]
"""Called in the search's own process as epochs end, in order; True stops the trial after this one."""


@dataclass(frozen=True)
class Task:
    """One trial to run. `data` is a folder in COCO layout, `timeout_seconds` bounds the whole trial.

    `then` is called with the trial's result where it ran, with the GPU there, and returns what becomes of it. It cannot
    leave this process.
    """

    name: str
    job: TrialJob
    data: str
    timeout_seconds: float | None = None
    then: Callable[[TrialResult, str | None], TrialResult] | None = None


class Executor(Protocol):
    """Runs trials, `workers` at a time; a context manager. It stores nothing: the search is the stores' one writer."""

    @property
    def workers(self) -> int: ...

    def submit(self, task: Task, on_epoch: OnEpoch) -> Future[TrialResult]:
        """Run a trial as soon as a worker is free.

        The future's result says how the Net ended. Its exception is what was not the Net's fault (see `runner.run_trial`),
        and CancelledError where `hold` or `cancel` came before its turn.
        """
        ...

    def hold(self) -> None:
        """Start no more trials; those under way go on. What has not begun ends with CancelledError."""
        ...

    def cancel(self) -> None:
        """Start no more trials and kill those under way, which end with TrialError. Safe to call twice."""
        ...

    def close(self) -> None:
        """Wait for what is under way, then give back what the executor holds."""
        ...
