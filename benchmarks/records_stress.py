"""Many processes write to both stores: `python benchmarks/records_stress.py [--seconds 120] [--processes 8]`.

Every process opens the records database, which is not there yet, and LEMUR's at the same moment. Until the time is up it
saves candidates from `planned` to `ended` into one run, and each of their epochs into LEMUR with LEMUR's own writer. Then
everything that was saved is read back. Exit code 1 when a row is lost or differs, when a process met an error (a lock,
for one), or when SQLite finds a file damaged.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sqlite3
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from lemur_caption.candidate import Candidate, Epoch, Outcome, SourcePass
from lemur_caption.lemur.store import Store
from lemur_caption.quiet import quiet
from lemur_caption.search.records import Records, State

EPOCHS = (1, 2, 3)


def make(worker: int, number: int, state: State) -> Candidate:
    """Candidate `number` of a worker as it is at `state`; about as long as a real one."""
    candidate = Candidate(f"C5C-candidate{worker}-{number}", "C5C", "", seed=number, prompt="build " * 500)
    if state is State.PLANNED:
        return candidate
    candidate.response = candidate.source = f"class Net: number = {number}, worker = {worker}\n" * 100
    candidate.passes = [SourcePass("extraction", candidate.source)]
    if state is State.ENDED:
        candidate.finish(Outcome.TRAINED, "", [epoch_of(worker, number, epoch) for epoch in EPOCHS])
    return candidate


def epoch_of(worker: int, number: int, epoch: int) -> Epoch:
    """An epoch with what LEMUR would have measured; no two are the same."""
    accuracy = (index_of(worker, number) * len(EPOCHS) + epoch) / 1e8
    prm = {"uid": f"{worker}-{number}-{epoch}", "lr": 0.001, "momentum": 0.9, "batch": 32, "transform": "norm_64"}
    measured = {"accuracy": accuracy, "duration": 10**9, "train_stat": {"train_loss": 3.0, "test_loss": 2.0}}
    return Epoch(epoch, accuracy, 3.0, 2.0, 1.0, prm | measured)


def index_of(worker: int, number: int) -> int:
    return worker * 1_000_000 + number


def work(root: Path, worker: int, start: float, seconds: float) -> int:
    """Save candidates from the moment `start` on; the number of those that have ended."""
    time.sleep(max(0.0, start - time.time()))
    store = Store.open(root, offline=True)
    with Records.open(root) as records:
        # A worker whose run is not there yet waits for the one that begins it.
        while not records.runs():
            if worker == 0:
                records.start_run({"llm": "none", "n": 0})
            if time.time() > start + seconds + 300:
                raise TimeoutError("no run was begun")
            time.sleep(0.01)
        number = 0
        # One at least, however little of a busy machine this process gets.
        while not number or time.time() < start + seconds:
            for state in State:
                candidate = make(worker, number, state)
                for epoch in candidate.epochs:
                    store.save_epoch(candidate.name, candidate.source, "shapes", "bleu-4", epoch.epoch, epoch.prm)
                records.save(1, index_of(worker, number), candidate, state)
            number += 1
    return number


def check_records(root: Path, ended: list[int]) -> bool:
    """Whether the records hold what the workers have saved and nothing else; says so."""
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
        f"records: {len(State) * sum(ended)} saves, {wrong} lost or different, {len(read)} that nobody saved, "
        f"integrity {integrity}, {len(dangling)} dangling"
    )
    return not wrong and not read and not dangling and integrity == "ok"


def check_lemur(store: Store, ended: list[int]) -> bool:
    """Whether LEMUR holds the epochs and the code that the workers have saved and nothing else; says so."""
    query = """
        SELECT nn, epoch, stat.accuracy, train_loss, code, COUNT(*) FROM stat
        LEFT JOIN train_stat ON stat_id = stat.id LEFT JOIN nn ON nn.name = nn GROUP BY nn, epoch"""
    with sqlite3.connect(store.lemur.database) as connection:
        integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
        read = {(row[0], row[1]): row[2:] for row in connection.execute(query)}
    wrong = 0
    for worker, count in enumerate(ended):
        for number in range(count):
            candidate = make(worker, number, State.ENDED)
            for epoch in candidate.epochs:
                saved = (epoch.accuracy, epoch.train_loss, candidate.source, 1)
                wrong += read.pop((candidate.name, epoch.epoch), None) != saved
    print(
        f"LEMUR: {len(EPOCHS) * sum(ended)} epochs, {wrong} lost or different, {len(read)} that nobody saved, "
        f"integrity {integrity}"
    )
    return not wrong and not read and integrity == "ok"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--processes", type=int, default=8)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="records-stress-"))
    try:
        store = Store.open(root, offline=True)
        with quiet():
            # Here, so that the forked workers need not import it once each.
            import ab.nn.util.db.Write  # noqa: F401
        start = time.time() + 1
        with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("fork")) as pool:
            waiting = [pool.submit(work, root, worker, start, options.seconds) for worker in range(options.processes)]
            ended = [future.result() for future in waiting]
        print(f"{options.processes} processes, {options.seconds:.0f} s: {sum(ended)} candidates")
        whole = [check_records(root, ended), check_lemur(store, ended)]
        print(f"the slowest process saved {min(ended)} candidates, the fastest {max(ended)}")
        return 0 if all(whole) else 1
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
