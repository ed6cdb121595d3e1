"""From the records back into a LEMUR store that has lost them, or never had them."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError
from ...lemur.store import Store
from .candidates import Entry
from .runs import Run


@dataclass
class Restored:
    """What `restore` did: Nets and epochs written, epochs that were there already or that lack LEMUR's record."""

    nets: int = 0
    epochs: int = 0
    present: int = 0
    unrecorded: int = 0

    def __add__(self, other: Restored) -> Restored:
        return Restored(
            self.nets + other.nets,
            self.epochs + other.epochs,
            self.present + other.present,
            self.unrecorded + other.unrecorded,
        )


def restore(store: Store, run: Run, entries: list[Entry]) -> Restored:
    """Write the Nets and epochs of a run into `store`, with LEMUR's own writer; what is there already stays.

    Raises UsageError when the run does not say on what it trained or LEMUR lacks its metric, StoreError when the store
    cannot be written.
    """
    done = Restored()
    if not any(epoch.prm for entry in entries for epoch in entry.candidate.epochs):
        done.unrecorded = sum(len(entry.candidate.epochs) for entry in entries)
        return done
    dataset, metric = run.settings.get("dataset"), run.settings.get("metric")
    if not isinstance(dataset, str) or not isinstance(metric, str):
        raise UsageError(f"run {run.id} does not say which dataset and metric it trained with")
    for name in metric.split(","):
        store.materialize("metric", name.strip())
    for entry in entries:
        candidate = entry.candidate
        before = done.epochs
        for epoch in candidate.epochs:
            if not epoch.prm:
                done.unrecorded += 1
                continue
            # Not by its time: what was begun anew after a kill took another.
            if store.has_epoch(candidate.name, dataset, metric, epoch.epoch, epoch.prm):
                done.present += 1
            else:
                store.save_epoch(candidate.name, candidate.source, dataset, metric, epoch.epoch, epoch.prm)
                done.epochs += 1
        done.nets += done.epochs > before
    return done
