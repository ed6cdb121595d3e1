"""Kill a search with SIGKILL at random moments, resume it, and see that nothing is lost or done twice.

    python benchmarks/search_kills.py --kills 50

The search answers from recorded designs and trains tiny Nets on a few images. After every kill both databases must be whole and
no candidate that had ended may have changed; at the end every candidate exists once, with an outcome, and LEMUR has each
epoch once. Exits with 1 and says what is wrong otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lemur_caption.architecture import random_design
from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.search.records import Records, State

LONGEST_RUN = 600


def record_designs(folder: Path, count: int) -> None:
    """Recorded answers: designs, among them one that repeats another and one that is none."""
    folder.mkdir()
    rng = random.Random(5)
    answers = [random_design(rng).model_dump_json() for _ in range(count)]
    answers[2], answers[3] = answers[0], "I would rather write a poem."
    for number, answer in enumerate(answers):
        (folder / f"{number:03}.txt").write_text(answer, encoding="utf-8")


def command(root: Path, n: int, workers: int) -> list[str]:
    return [
        *(sys.executable, "-m", "lemur_caption", "search", "--offline", "--json", "--strategy", "design"),
        *("--llm", f"replay:{root.parent / 'answers'}", "--data", str(root.parent / "data"), "--root", str(root)),
        *("--n", str(n), "--epochs", "2", "--workers", str(workers), "--snippets", "1"),
    ]


def integrity(path: Path) -> str:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def ended(root: Path) -> dict[int, dict[str, Any]]:
    """What the records hold of the candidates that have ended, by index."""
    with Records.open(root) as records:
        return {i: c.to_dict() for i, _, c in records.candidates(1, State.ENDED)} if records.runs() else {}


def check(root: Path, before: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    for path in (root / "db" / "ab.nn.db", root / "lemur-caption" / "records.db"):
        assert not path.exists() or integrity(path) == "ok", f"{path.name} is damaged: {integrity(path)}"
    after = ended(root)
    for index, candidate in before.items():
        assert after[index] == candidate, (
            f"candidate {index} had ended and has changed: {candidate} became {after[index]}"
        )
    return after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--n", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--longest", type=float, default=15.0, help="seconds that a search lives at most before a kill")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="lemur-caption-kills-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        record_designs(Path(folder) / "answers", arguments.n)
        render_shapes(Path(folder) / "data", train=arguments.images, val=8)
        line = command(root, arguments.n, arguments.workers)
        known: dict[int, dict[str, Any]] = {}
        for kill in range(arguments.kills):
            resume = ["--resume", "last"] if known or _has_run(root) else []
            process = subprocess.Popen([*line, *resume], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            moment = rng.uniform(2.0, arguments.longest)
            deadline = time.monotonic() + moment
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            over = process.poll() is not None
            if not over:
                os.kill(process.pid, signal.SIGKILL)
            _, said = process.communicate()
            known = check(root, known)
            print(f"kill {kill + 1} after {moment:.1f} s: {len(known)} ended", flush=True)
            if over:
                assert process.returncode == 0, f"the search ended by itself with {process.returncode}: {said[-2000:]}"
                break
        resume = [] if not _has_run(root) else ["--resume", "last"]
        done = subprocess.run([*line, *resume], capture_output=True, text=True, timeout=LONGEST_RUN)
        if not over:
            assert done.returncode == 0, f"the last resumption ended with {done.returncode}: {done.stderr[-2000:]}"
        known = check(root, known)
        report(root, known, arguments.n)


def _has_run(root: Path) -> bool:
    if not (root / "lemur-caption" / "records.db").exists():
        return False
    with Records.open(root) as records:
        return bool(records.runs())


def report(root: Path, known: dict[int, dict[str, Any]], n: int) -> None:
    assert sorted(known) == [-2, -1, *range(n)], f"candidates {sorted(known)} instead of {n} and two baselines"
    assert all(candidate["outcome"] for candidate in known.values())
    with sqlite3.connect(root / "db" / "ab.nn.db") as connection:
        rows = connection.execute("SELECT nn, epoch, COUNT(*) FROM stat GROUP BY nn, epoch").fetchall()
    twice = [row for row in rows if row[2] > 1]
    assert not twice, f"LEMUR holds epochs twice: {twice}"
    trained = {c["name"]: len(c["epochs"]) for c in known.values() if c["epochs"]}
    stored = {name: sum(1 for row in rows if row[0] == name) for name in trained}
    assert trained == stored, f"the records have {trained}, LEMUR has {stored}"
    outcomes = [known[index]["outcome"] for index in range(n)]
    assert outcomes[2] == "duplicate" and outcomes[3] == "no_code", outcomes
    print(json.dumps({"candidates": n, "trained": len(trained) - 2, "epochs_in_lemur": len(rows)}))


if __name__ == "__main__":
    main()
