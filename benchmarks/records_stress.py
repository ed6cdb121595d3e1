"""Many processes write to one records database: `python benchmarks/records_stress.py [--seconds 120] [--processes 8]`.

Every process opens the database, which is not there yet, at the same moment, and saves candidates from `planned` to
`ended` into one run until the time is up. Then everything that was saved is read back. Exit code 1 when a row is lost
or differs, when a process met an error (a lock, for one), or when SQLite finds the file damaged.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from lemur_caption.candidate import Candidate, Epoch, Outcome, SourcePass
from lemur_caption.search.records import Records, State


def make(worker: int, number: int, state: State) -> Candidate:
    """Candidate `number` of a worker as it is at `state`; about as long as a real one."""
    candidate = Candidate(f"C5C-candidate{worker}-{number}", "C5C", "", seed=number, prompt="build " * 500)
    if state is State.PLANNED:
        return candidate
    candidate.response = candidate.source = f"class Net: number = {number}, worker = {worker}\n" * 100
    candidate.passes = [SourcePass("extraction", candidate.source)]
    if state is State.ENDED:
        prm = {"uid": f"{worker}-{number}", "lr": 0.001}
        candidate.finish(Outcome.TRAINED, "", [Epoch(n, n / 10, 3.0, 2.0, 1.0, prm) for n in (1, 2, 3)])
    return candidate


def work(root: Path, worker: int, start: float, seconds: float, index: Callable[[int, int], int]) -> int:
    """Save candidates from the moment `start` on; the number of those that have ended."""
    time.sleep(max(0.0, start - time.time()))
    with Records.open(root) as records:
        # A worker whose run is not there yet waits for the one that begins it.
        while not records.runs():
            if worker == 0:
                records.start_run({"llm": "none", "n": 0})
            if time.time() > start + seconds + 30:
                raise TimeoutError("no run was begun")
            time.sleep(0.01)
        number = 0
        while time.time() < start + seconds:
            for state in State:
                records.save(1, index(worker, number), make(worker, number, state), state)
            number += 1
    return number


def index_of(worker: int, number: int) -> int:
    return worker * 1_000_000 + number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--processes", type=int, default=8)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="records-stress-"))
    try:
        context = multiprocessing.get_context("spawn")
        start = time.time() + 1 + options.processes / 4
        with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
            waiting = [
                pool.submit(work, root, worker, start, options.seconds, index_of) for worker in range(options.processes)
            ]
            ended = [future.result() for future in waiting]
        with Records.open(root) as records:
            read = {index: (state, candidate) for index, state, candidate in records.candidates(1)}
            path = records.path
        wrong = sum(
            read.pop(index_of(worker, number), None) != (State.ENDED, make(worker, number, State.ENDED))
            for worker, count in enumerate(ended)
            for number in range(count)
        )
        with sqlite3.connect(path) as connection:
            integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
            dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
        print(
            f"{options.processes} processes, {options.seconds:.0f} s: {sum(ended)} candidates, {5 * sum(ended)} saves"
        )
        print(
            f"{wrong} lost or different, {len(read)} that nobody saved, integrity {integrity}, {len(dangling)} dangling"
        )
        slowest = min(ended)
        print(f"the slowest process saved {slowest} candidates, the fastest {max(ended)}")
        return 0 if not wrong and not read and not dangling and integrity == "ok" and slowest else 1
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
