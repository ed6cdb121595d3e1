"""Trials on this machine: a worker a GPU, or as many workers as its cores are to be shared by."""

from __future__ import annotations

import os
import queue
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ...machine import cores
from .base import OnEpoch, Task

if TYPE_CHECKING:
    from ...lemur.runner import TrialResult
    from ...lemur.trial_slot import TrialSlot


def gpus(devices: Path = Path("/dev")) -> list[str]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without loading CUDA."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device for device in named.split(",") if device and device != "-1"]
    # CUDA numbers those that it finds from 0, whatever the numbers of their files: a container may have /dev/nvidia5 alone.
    return [str(number) for number in range(sum(1 for _ in devices.glob("nvidia[0-9]*")))]


class LocalExecutor:
    """`workers` trials at a time, each in a slot of its own that keeps LEMUR loaded between them; see `Executor`.

    With GPUs, worker i trains on GPU i modulo their number. `threads` is the number of CPU threads of a trial. `workers` 0
    is one for each GPU, and without GPUs as many as the cores have threads for.
    """

    def __init__(self, workers: int = 0, threads: int = 1) -> None:
        devices = gpus()
        self._workers = workers or len(devices) or max(1, cores() // threads)
        self._threads = threads
        # A place is a GPU, or None, and the slot that was made for it; a slot is made when it is first needed.
        self._places: queue.SimpleQueue[tuple[str | None, TrialSlot | None]] = queue.SimpleQueue()
        for place in range(self._workers):
            self._places.put((devices[place % len(devices)] if devices else None, None))
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="trial")
        self._all: list[TrialSlot] = []
        self._held = self._cancelled = False

    @property
    def workers(self) -> int:
        return self._workers

    def submit(self, task: Task, on_epoch: OnEpoch) -> Future[TrialResult]:
        return self._pool.submit(self._run, task, on_epoch)

    def _run(self, task: Task, on_epoch: OnEpoch) -> TrialResult:
        from ...lemur import runner

        if self._held:
            raise CancelledError
        device, slot = self._places.get()
        try:
            slot = slot or self._slot(device)
            result = runner.run_trial(
                task.job,
                Path(task.data),
                what=f"the trial of {task.name}",
                timeout_seconds=task.timeout_seconds,
                on_epoch=on_epoch,
                slot=slot,
            )
            return task.then(result, device) if task.then is not None else result
        finally:
            self._places.put((device, slot))
            if self._cancelled:
                # Whatever came of it came of being killed.
                raise CancelledError

    def _slot(self, device: str | None) -> TrialSlot:
        from ...lemur.child import compute_environment
        from ...lemur.trial_slot import TrialSlot

        slot = TrialSlot(compute_environment(self._threads, device))
        self._all.append(slot)
        if self._cancelled:
            slot.kill()
        return slot

    def hold(self) -> None:
        # The pool's own way to cancel takes a lock that this thread may hold, where a signal's handler calls this. What
        # still waits its turn ends as soon as it has it.
        self._held = True

    def cancel(self) -> None:
        self._held = self._cancelled = True
        for slot in self._all:
            slot.kill()

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        for slot in self._all:
            slot.close()
        self._all.clear()
