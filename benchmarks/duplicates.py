"""Duplicates among designs that differ, and what an index of LEMUR's Nets costs.

    python benchmarks/duplicates.py --designs 300 --fingerprints 60 --wheel nn_dataset-2.1.2-py3-none-any.whl

Every random design is held against all before it, and every design one field away from `--around` of them against all: a
duplicate found there is false. Then the Nets of a wheel are indexed and asked for designs, and for copies of
their captioning Nets. `pip download --no-deps nn-dataset==2.1.2` brings the wheel. Seconds are processor seconds.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import time
import zipfile
from collections import Counter
from pathlib import Path
from random import Random

from lemur_caption.architecture import Design, random_design, render
from lemur_caption.architecture.space import choices
from lemur_caption.search.duplicates import DuplicateFinder


def neighbours(design: Design) -> list[Design]:
    """Designs that differ in one field."""
    fields = choices(design.size)
    return [Design(**(design.model_dump() | {name: value})) for name, values in fields.items() for value in values]


def fingerprint_of(source: str) -> str | None:
    """The fingerprint of a trusted Net, without a sandbox."""
    from lemur_caption.contract.dynamic.fingerprint import fingerprint
    from lemur_caption.contract.dynamic.probe import Probe, load

    probe = Probe(source)
    probe.module = load(source)
    return fingerprint(probe)


def among_designs(count: int, around: int, fingerprints: int) -> None:
    rng = Random(1)
    drawn = {design.model_dump_json(): design for design in (random_design(rng) for _ in range(count))}
    for design in list(drawn.values())[:around]:
        drawn |= {other.model_dump_json(): other for other in neighbours(design)}
    finder, levels, seconds, fingerprinting = DuplicateFinder(), Counter[str](), [], []
    for number, (name, design) in enumerate(drawn.items()):
        source = render(design)
        begun = time.process_time()
        fingerprint = fingerprint_of(source) if number < fingerprints else None
        fingerprinting += [time.process_time() - begun] if number < fingerprints else []
        begun = time.process_time()
        found = finder.find(source, fingerprint)
        finder.add(name, source, fingerprint)
        seconds.append(time.process_time() - begun)
        if found is not None:
            levels[found.level] += 1
            print(f"FALSE: {name} {found}")
    print(f"{len(drawn)} designs, all different: {sum(levels.values())} called duplicates {dict(levels) or ''}")
    print(f"one Net against those before it: median {1e3 * statistics.median(seconds):.1f} ms")
    if fingerprinting:
        print(
            f"fingerprint: median {1e3 * statistics.median(fingerprinting):.0f} ms, most {1e3 * max(fingerprinting):.0f}"
        )


def against_store(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("ab/nn/nn/") and name.endswith(".py")]
        nets = [(Path(name).stem, archive.read(name).decode("utf-8", "replace")) for name in names]
    nets = [(name, source) for name, source in nets if source.strip()]
    finder = DuplicateFinder(nets)
    begun = time.process_time()
    finder.find("")
    print(f"{len(nets)} Nets indexed in {time.process_time() - begun:.2f} s")
    rng = Random(2)
    designs = [render(random_design(rng)) for _ in range(50)]
    begun = time.process_time()
    found = [finder.find(source) for source in designs]
    cost = 1e3 * (time.process_time() - begun) / len(designs)
    print(f"50 designs against them: {cost:.1f} ms each, {sum(twin is not None for twin in found)} called duplicates")
    copies, seconds = Counter[str](), []
    for source in (source for _, source in nets if "captions" in source):
        try:
            copy = ast.unparse(ast.parse(source))
        except SyntaxError:
            continue
        begun = time.process_time()
        twin = finder.find(copy)
        seconds.append(time.process_time() - begun)
        copies[twin.level if twin else "missed"] += 1
    times = f"median {1e3 * statistics.median(seconds):.0f} ms, most {max(seconds):.2f} s"
    print(f"copies of their {len(seconds)} captioning Nets in another layout: {dict(copies)}; {times}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=300)
    parser.add_argument("--around", type=int, default=4)
    parser.add_argument("--fingerprints", type=int, default=0)
    parser.add_argument("--wheel", type=Path)
    arguments = parser.parse_args()
    among_designs(arguments.designs, arguments.around, arguments.fingerprints)
    if arguments.wheel is not None:
        against_store(arguments.wheel)


if __name__ == "__main__":
    main()
