"""What trained Nets say of validation images, best Nets first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..source import Net, Source
from ..table import Column, Table

# Images that a page shows, and Nets that speak of each.
MOST_IMAGES = 9
_MOST_CAPTIONS = 8


def table(source: Source) -> Table:
    columns = (
        Column("image", "image"),
        Column("id", "candidate"),
        Column("net", "Net", "name"),
        Column("family", "family"),
        Column("outcome", "outcome"),
        Column("score", "after the last epoch", "metric"),
        Column("caption", "caption"),
        Column("reference", "a reference"),
    )
    scored = [net for net in source.nets if net.entry.samples]
    scored.sort(key=lambda net: -1 if net.score is None else net.score, reverse=True)
    rows = [
        {"image": sample.get("image", ""), "id": net.id, "net": net.entry.candidate.name, "family": net.family}
        | {"outcome": net.outcome, "score": net.score, "caption": sample.get("caption", "")}
        | {"reference": sample.get("reference", "")}
        for net in scored
        for sample in net.entry.samples
    ]
    note = "Greedy captions after the last epoch, for images spread evenly over the validation split."
    return Table("samples", "Sample captions", columns, list(rows), note)


@dataclass(frozen=True)
class SampleImage:
    """An image of a run's data, a reference, and what the baselines and the best Nets say: (Net, caption)."""

    run: int
    name: str
    reference: str
    captions: Sequence[tuple[Net, str]]


def gallery(source: Source) -> list[SampleImage]:
    """The images of samples in the order of the runs, with captions of the baselines and of the best Nets."""
    found: list[SampleImage] = []
    for recorded in source.runs:
        nets = [net for net in source.nets if net.recorded is recorded and net.entry.samples]
        nets.sort(key=lambda net: (not net.is_baseline, -(net.score or 0.0)))
        images: dict[str, list[tuple[Net, str]]] = {}
        references: dict[str, str] = {}
        for net in nets:
            for sample in net.entry.samples:
                name = str(sample.get("image", ""))
                references.setdefault(name, str(sample.get("reference", "")))
                images.setdefault(name, []).append((net, str(sample.get("caption", ""))))
        found += [
            SampleImage(recorded.run.id, name, references[name], said[:_MOST_CAPTIONS]) for name, said in images.items()
        ]
    return found
