"""Trials on a Ray cluster: one GPU each where it has any, else one share of the cores. Extra `[ray]`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...candidate import Epoch
from ...errors import UsageError, first_line
from .base import OnEpoch, Task

if TYPE_CHECKING:
    from ...lemur.runner import TrialResult
    from ...lemur.trial import TrialJob
    from ...lemur.trial_slot import TrialSlot


# A trial that has taken so many workers with it, as one does that eats a node's memory, has failed.
MOST_ATTEMPTS = 5
CONNECT_SECONDS = 10.0


class RayExecutor:
    """Trials as Ray tasks; see `Executor`. One whose node or worker dies is run again, up to MOST_ATTEMPTS times.

    Uses the cluster that this process is connected to, else that of RAY_ADDRESS, else one of this machine alone. `workers`
    0 is as many as the cluster has GPUs, or shares of `threads` cores. The nodes need the same packages, and the data at
    the same path; `shapes` is rendered, and captions are encoded, once a node. Raises UsageError where Ray is not
    installed, no cluster answers, and none of its nodes has `threads` cores.
    """

    def __init__(self, workers: int = 0, threads: int = 1) -> None:
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError as error:
            raise UsageError("Ray is not installed; run: pip install 'lemur-caption[ray]'") from error
        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            address = os.environ.get("RAY_ADDRESS")
            try:
                _knock(address)
                ray.init(address=address, log_to_driver=False, include_dashboard=False)
            except (OSError, RuntimeError, ValueError) as error:
                raise UsageError(
                    f"no Ray cluster can be used at {address or 'this machine'} ({first_line(error)}); "
                    "start one with `ray start`, or correct RAY_ADDRESS"
                ) from error
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's own gap
        gpus = int(resources.get("GPU", 0))
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # as above
        largest = max(int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"])
        if not gpus and threads > largest:
            self._leave()
            raise UsageError(
                f"no node of the cluster has {threads} cores for a trial; give --threads {largest} or fewer"
            )
        self._workers = workers or gpus or max(1, int(resources.get("CPU", 1)) // threads)
        self._threads = threads
        # A semaphore of our own: a cluster may have more room than workers were asked for.
        self._free = threading.Semaphore(self._workers)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # Beside the search, so that no other node's death takes it along.
        self._board: Any = (
            ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here, max_concurrency=10_000).remote()
        )
        needs: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": threads}
        self._remote = ray.remote(_run).options(max_retries=-1, **needs)
        self._waiting: dict[int, OnEpoch] = {}
        self._references: dict[int, Any] = {}
        # A signal may come while this thread holds it, and its handler call `cancel`.
        self._lock = threading.RLock()
        self._held = self._cancelled = False
        self._closed = False
        self._listener = threading.Thread(target=self._listen, daemon=True, name="epochs")
        self._listener.start()

    @property
    def workers(self) -> int:
        return self._workers

    def submit(self, task: Task, on_epoch: OnEpoch) -> Future[TrialResult]:
        done: Future[TrialResult] = Future()
        with self._lock:
            number = len(self._references)
            self._references[number] = None
            self._waiting[number] = _once(on_epoch, done)
        threading.Thread(target=self._run, args=(number, task, done), daemon=True, name=f"trial {number}").start()
        return done

    def _run(self, number: int, task: Task, done: Future[TrialResult]) -> None:
        with self._free:
            try:
                if self._held:
                    raise CancelledError
                reference = self._remote.remote(
                    number, asdict(task.job), task.name, task.data, task.timeout_seconds, self._threads, self._board
                )
                with self._lock:
                    self._references[number] = reference
                result = self._ray.get(reference)
            except BaseException as error:  # noqa: BLE001  # the future hands it on
                # Ray wraps what a node raised, and adds its traceback there to the message.
                told = error.cause if isinstance(error, self._ray.exceptions.RayTaskError) else error
                _settle(done, error=CancelledError() if self._cancelled else told)
            else:
                _settle(done, result)

    def _listen(self) -> None:
        """Hand on the epochs that the nodes report, and take back whether to stop."""
        while not self._closed:
            for number, attempt, epoch in self._ray.get(self._board.take.remote()):
                stop = self._waiting[number](Epoch(**epoch))
                self._board.answer.remote(number, attempt, epoch["epoch"], stop)

    def hold(self) -> None:
        self._held = True

    def cancel(self) -> None:
        self._held = self._cancelled = True
        with self._lock:
            references = [reference for reference in self._references.values() if reference is not None]
        for reference in references:
            self._ray.cancel(reference, force=True)

    def close(self) -> None:
        for _ in range(self._workers):
            self._free.acquire()
        self._closed = True
        self._ray.get(self._board.close.remote())
        self._listener.join()
        self._ray.kill(self._board)
        self._leave()

    def _leave(self) -> None:
        if self._own:
            self._ray.shutdown()


def _knock(address: str | None) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself goes on trying."""
    if match := re.fullmatch(r"([^:/]+):(\d+)", address or ""):
        socket.create_connection((match[1], int(match[2])), timeout=CONNECT_SECONDS).close()


def _once(on_epoch: OnEpoch, done: Future[TrialResult]) -> OnEpoch:
    """`on_epoch`, called once an epoch: a trial that begins anew elsewhere reports its epochs again."""
    told: dict[int, bool] = {}

    def report(epoch: Epoch) -> bool:
        if epoch.epoch not in told:
            try:
                told[epoch.epoch] = on_epoch(epoch)
            except BaseException as error:  # noqa: BLE001  # the search must hear of it, not the listener's thread
                told[epoch.epoch] = True
                _settle(done, error=error)
        return told[epoch.epoch]

    return report


def _settle(done: Future[TrialResult], result: TrialResult | None = None, error: BaseException | None = None) -> None:
    """End a future unless it has ended: what went wrong first is what counts."""
    with contextlib.suppress(InvalidStateError):
        if result is not None:
            done.set_result(result)
        else:
            done.set_exception(error)


class _Board:
    """An actor through which the nodes tell the search of their epochs, and learn whether to go on."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[tuple[int, str, dict[str, Any]] | None] = asyncio.Queue()
        self._answers: dict[tuple[int, str, int], asyncio.Future[bool]] = {}
        self._attempts: Counter[int] = Counter()

    async def begin(self, number: int) -> int:
        """From a node: a trial begins. The how many-th time that is, from 1."""
        self._attempts[number] += 1
        return self._attempts[number]

    async def post(self, number: int, attempt: str, epoch: dict[str, Any]) -> bool:
        """From a node: an epoch has ended. Whether it is to be the last."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._answers[number, attempt, epoch["epoch"]] = answer
        await self._told.put((number, attempt, epoch))
        return await answer

    async def take(self) -> list[tuple[int, str, dict[str, Any]]]:
        """For the search: the epochs that have been told, at least one unless it closes."""
        told = [await self._told.get()]
        while not self._told.empty():
            told.append(self._told.get_nowait())
        return [entry for entry in told if entry is not None]

    async def answer(self, number: int, attempt: str, epoch: int, stop: bool) -> None:
        self._answers.pop((number, attempt, epoch)).set_result(stop)

    async def close(self) -> None:
        await self._told.put(None)


def _run(
    number: int, job: dict[str, Any], name: str, data: str, timeout: float | None, threads: int, board: Any
) -> TrialResult:
    """On a node: one trial."""
    import ray

    from ...candidate import Outcome
    from ...lemur import runner
    from ...lemur.child import compute_environment
    from ...lemur.trial import TrialJob

    if ray.get(board.begin.remote(number)) > MOST_ATTEMPTS:
        return runner.TrialResult(
            Outcome.RUNTIME_ERROR, f"its worker died {MOST_ATTEMPTS} times, as workers do where memory runs out"
        )
    attempt = str(ray.get_runtime_context().get_task_id()) + str(os.getpid())

    def report(epoch: Epoch) -> bool:
        stop: bool = ray.get(board.post.remote(number, attempt, asdict(epoch)))
        return stop

    trial = TrialJob(**job)
    folder = _node_data(trial, Path(data))
    slot = _slot(compute_environment, threads)
    return runner.run_trial(
        trial, folder, what=f"the trial of {name}", timeout_seconds=timeout, on_epoch=report, slot=slot
    )


def _node_data(job: TrialJob, folder: Path) -> Path:
    from ...dataset import coco, shapes

    if job.dataset == "shapes" and not folder.exists():
        shapes.render_shapes(folder)
    coco.prepare_captions(folder)
    return folder


_slots: dict[str, TrialSlot] = {}


def _slot(environment: Callable[[int, str | None], dict[str, str]], threads: int) -> TrialSlot:
    """This worker process's slot: Ray gives a process to one task at a time, with the GPU that it names."""
    from ...lemur.trial_slot import TrialSlot

    place = os.environ.get("CUDA_VISIBLE_DEVICES")
    key = f"{place} {threads}"
    if key not in _slots:
        # A worker that has been given another GPU will not come back to the one before.
        while _slots:
            _slots.popitem()[1].close()
        _slots[key] = TrialSlot(environment(threads, place))
    return _slots[key]
