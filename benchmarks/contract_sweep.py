"""Run the source rules over every Net of an nn-dataset release: real code that trained.

    python benchmarks/contract_sweep.py nn_dataset-2.1.2-py3-none-any.whl

Prints how many Nets each rule reports, the share that the torch-name and signature rules report, and the time a Net takes.
`pip download --no-deps nn-dataset==2.1.2` brings the wheel.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lemur_caption.contract import RULES, check_source

Profile = Literal["strict", "lenient"]


class Examined(NamedTuple):
    """One Net's findings, and the seconds they took by the clock and on the processor."""

    name: str
    wall: float
    cpu: float
    findings: list[dict[str, Any]]


NETS = "ab/nn/nn/"
TORCH_RULES = ("LC110", "LC111", "LC120", "LC121", "LC122")


def read_nets(wheel: Path) -> list[tuple[str, bytes]]:
    """Name and text of each Net in a wheel. Raises SystemExit where it holds none."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(
            n for n in archive.namelist() if n.startswith(NETS) and n.endswith(".py") and "__init__" not in n
        )
        nets = [(Path(name).name, archive.read(name)) for name in names]
    if not nets:
        raise SystemExit(
            f"{wheel} holds no Nets under {NETS}: nn-dataset 2.1.2 does, later releases keep them in a database"
        )
    return nets


def start() -> None:
    """Load torch before the clock of any Net runs."""
    import torch

    torch.set_num_threads(1)
    check_source("import torchvision\nimport torch.nn.functional as F\nx = F.relu\n")


def examine(task: tuple[str, bytes, Profile]) -> Examined:
    name, text, profile = task
    wall, cpu = time.perf_counter(), time.process_time()
    findings = check_source(text, profile=profile)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Examined(name, wall, cpu, [finding.to_dict() for finding in findings])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--profile", choices=("strict", "lenient"), default="lenient")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all findings to this file")
    options = parser.parse_args(arguments)
    nets = read_nets(options.wheel)
    begun = time.perf_counter()
    tasks = ((name, text, options.profile) for name, text in nets)
    with multiprocessing.get_context("spawn").Pool(options.processes, start) as pool:
        results = list(pool.imap_unordered(examine, tasks, chunksize=32))
    wall = time.perf_counter() - begun

    by_rule: Counter[tuple[str, str]] = Counter()
    for net in results:
        by_rule.update({(finding["rule"], finding["severity"]) for finding in net.findings})
    for (rule, severity), count in sorted(by_rule.items()):
        print(f"{rule} {RULES[rule].name:24} {severity:8} {count:6} Nets")
    alarms = sum(any(f["rule"] in TORCH_RULES and f["severity"] == "error" for f in net.findings) for net in results)
    print(f"torch names and signatures: errors in {alarms} of {len(nets)} Nets ({alarms / len(nets):.3%})")
    for clock, seconds in (("wall", [net.wall for net in results]), ("processor", [net.cpu for net in results])):
        p95 = statistics.quantiles(seconds, n=20)[-1]
        print(f"a Net, {clock}: p50 {statistics.median(seconds) * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms")
    print(f"all {len(nets)} Nets with {options.processes} processes: {wall:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({net.name: net.findings for net in sorted(results)}, indent=1))


if __name__ == "__main__":
    main()
