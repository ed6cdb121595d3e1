"""Training curves: metric and losses of every Net after every epoch."""

from __future__ import annotations

from ..source import Source
from ..table import Column, Table


def table(source: Source) -> Table:
    columns = (
        Column("id", "candidate"),
        Column("net", "Net", "name"),
        Column("family", "family"),
        Column("outcome", "outcome"),
        Column("epoch", "epoch", "count"),
        Column("accuracy", "metric", "metric"),
        Column("train_loss", "training loss", "metric"),
        Column("test_loss", "validation loss", "metric"),
        Column("seconds", "seconds so far", "seconds"),
    )
    rows = [
        {"id": net.id, "net": net.entry.candidate.name, "family": net.family, "outcome": net.outcome}
        | {"epoch": epoch.epoch, "accuracy": epoch.accuracy, "train_loss": epoch.train_loss}
        | {"test_loss": epoch.test_loss, "seconds": epoch.seconds}
        for net in source.nets
        for epoch in net.entry.candidate.epochs
    ]
    note = "Losses are nats a token; an empty one was not finite. A Net whose trial was stopped has fewer epochs."
    return Table("epochs", "Training curves", columns, rows, note)
