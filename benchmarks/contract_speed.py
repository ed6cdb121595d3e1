"""How long the contract takes a Net: `python benchmarks/contract_speed.py [--nets 60] [--workers 2] [--seed 0]`.

Rendered Nets of random designs, in a warm pool. Prints p50 and p95 of the source rules alone and of the whole
contract, and every finding: there should be none.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from lemur_caption.architecture import random_design, render
from lemur_caption.contract.report import ContractReport
from lemur_caption.contract.source_check import check_source
from lemur_caption.contract.validator import ValidatorPool


def percentiles(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"{name:<16} p50 {statistics.median(ordered) * 1e3:7.0f} ms   p95 {p95 * 1e3:7.0f} ms   n {len(ordered)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    sources = [render(random_design(rng)) for _ in range(options.nets)]
    check_source(sources[0])  # loads torch's names once

    static = []
    for source in sources:
        started = time.perf_counter()
        check_source(source)
        static.append(time.perf_counter() - started)

    with ValidatorPool(options.workers) as pool, ThreadPoolExecutor(options.workers) as threads:
        started = time.perf_counter()
        reports: list[ContractReport] = list(threads.map(pool.validate, sources))
        elapsed = time.perf_counter() - started
    print(percentiles("source rules", static))
    print(percentiles("whole contract", [report.seconds for report in reports]))
    for stage in ("build", "shapes", "training", "meaning"):
        print(percentiles(f"  {stage}", [report.stages.get(stage, 0.0) for report in reports]))
    print(f"{len(reports) / elapsed:.2f} Nets a second with {options.workers} workers")
    print(f"protections: {reports[0].protections}")
    for number, report in enumerate(reports):
        for finding in report.findings:
            print(f"net {number}: {finding.rule} {finding.message}")


if __name__ == "__main__":
    main()
