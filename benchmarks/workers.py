"""How many more candidates an hour two workers train than one: the same search of single-threaded trials, twice.

    python benchmarks/workers.py --n 8 --llm random

Both searches make the same candidates from the same seed; what they come to must be equal. Time counts from the first
candidate that is ready to train to the end, without the baselines and the loading of programs. Prints both rates and their ratio.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.search.records import Records


def search(root: Path, data: Path, arguments: argparse.Namespace, workers: int) -> tuple[float, dict[int, float]]:
    """Seconds from the first candidate's check to the end of the last, and each candidate's metric."""
    root.mkdir()
    line = [
        *(sys.executable, "-m", "lemur_caption", "search", "--offline", "--llm", arguments.llm),
        *("--n", str(arguments.n), "--epochs", str(arguments.epochs), "--workers", str(workers)),
        *("--data", str(data), "--root", str(root), "--seed", str(arguments.seed)),
    ]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    started = None
    said = []
    for event in process.stderr:
        said.append(event)
        if started is None and event.rstrip().endswith(": sound"):
            started = time.monotonic()
    seconds = time.monotonic() - (started or 0.0)
    assert process.wait() == 0 and started is not None, "".join(said[-20:])
    with Records.open(root) as records:
        found = {i: c.epochs[-1].accuracy for i, _, c in records.candidates(1) if i >= 0 and c.epochs}
    return seconds, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--llm", default="random")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lemur-caption-workers-") as folder:
        data = Path(folder) / "data"
        render_shapes(data, train=arguments.images, val=96)
        rates, first = [], None
        for workers in arguments.workers:
            seconds, found = search(Path(folder) / f"root{workers}", data, arguments, workers)
            first = first or found
            assert found == first, f"{workers} workers came to {found}, {arguments.workers[0]} to {first}"
            rates.append(3600 * arguments.n / seconds)
            print(
                f"{workers} worker{'s' * (workers > 1)}: {rates[-1]:.0f} candidates an hour, {rates[-1] / rates[0]:.2f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
