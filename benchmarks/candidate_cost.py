"""What a candidate costs beside its training epochs, with warm data: a process of its own against a slot that has LEMUR loaded.

    python benchmarks/candidate_cost.py --candidates 10

Trains random designs for one epoch on a small `shapes` set, each both ways in one run, and prints the seconds that are neither
training nor LEMUR's own rating of the code (pylint); that rating and the contract's check apart. In a slot pylint is called
where it has read torch before, which the slot's start has paid.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from lemur_caption.architecture import random_design, render
from lemur_caption.contract.validator import ValidatorPool
from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.lemur import runner
from lemur_caption.lemur.child import compute_environment
from lemur_caption.lemur.store import Store
from lemur_caption.lemur.trial import TrialJob
from lemur_caption.lemur.trial_slot import TrialSlot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    sources = [render(random_design(rng)) for _ in range(arguments.candidates)]
    fixed: dict[str, list[float]] = {"own process": [], "slot": []}
    quality: dict[str, list[float]] = {"own process": [], "slot": []}
    checks = []
    with tempfile.TemporaryDirectory() as folder, TrialSlot(compute_environment(1)) as slot, ValidatorPool() as pool:
        store = Store.open(Path(folder) / "root", offline=True)
        render_shapes(Path(folder) / "data", train=arguments.images, val=32)
        data = runner.prepare_data(store, "shapes", Path(folder) / "data")
        runner.check_names(store, "shapes", "norm_64", "bleu-4")
        slot.clear()  # starts its server
        once = slot.rating_seconds()
        for source in sources:
            started = time.perf_counter()
            assert pool.validate(source).ok
            checks.append(time.perf_counter() - started)
            job = TrialJob(source, "shapes", "bleu-4", "norm_64", epochs=1, threads=1)
            for way, where in (("own process", None), ("slot", slot)):
                result = runner.run_trial(job, data, what="a trial", on_epoch=lambda epoch: False, slot=where)
                assert result.stages, f"{result.outcome}: {result.detail}"
                fixed[way].append(result.seconds - sum(result.stages.values()))
                quality[way].append(result.stages["quality"])
            print(f"own process {fixed['own process'][-1]:.2f} s, slot {fixed['slot'][-1]:.2f} s", flush=True)
    for way, seconds in fixed.items():
        print(
            f"{way:12}: median {statistics.median(seconds):.2f} s, most {max(seconds):.2f} s over pylint and training"
        )
    print(f"own process / slot: {statistics.median(fixed['own process']) / statistics.median(fixed['slot']):.1f}")
    rated = {way: statistics.median(seconds) for way, seconds in quality.items()}
    print(
        f"pylint: own process {rated['own process']:.2f} s, slot {rated['slot']:.2f} s a Net and {once:.1f} s once; "
        f"own process / slot: {rated['own process'] / rated['slot']:.0f}"
    )
    print(f"the contract, before the trial: median {statistics.median(checks):.2f} s")


if __name__ == "__main__":
    main()
