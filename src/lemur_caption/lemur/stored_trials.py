"""Training trials as LEMUR's store has them: its rows, one an epoch, put together again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .loading import TASK
from .root import connect
from .store import Store

# What LEMUR's record of an epoch holds beside hyperparameters. Its `uid` is a digest of them in the first epoch only:
# in a later one what was measured before goes into it.
_MEASURED = frozenset(
    (
        "uid",
        "duration",
        "duration_seconds",
        "accuracy",
        "train_stat",
        "layer_stat",
        "task",
        "dataset",
        "metric",
        "model",
    )
)


@dataclass
class StoredTrial:
    """One trial: its hyperparameters, and by number of epoch LEMUR's whole record of it, as its JSON files hold it."""

    hyperparameters: dict[str, Any]
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def drawn(self) -> bool:
        """Whether it is LEMUR's entry point's, in which Optuna draws: that alone counts `epoch_max` among these."""
        return "epoch_max" in self.hyperparameters

    def counts(self, epochs: int) -> bool:
        """Whether it is an Optuna trial with all of the first `epochs` epochs."""
        return self.drawn and all(number in self.epochs for number in range(1, epochs + 1))

    def best(self, epochs: int) -> float:
        """The highest metric within the first `epochs` epochs; 0 where there is none."""
        return max((float(r["accuracy"]) for number, r in self.epochs.items() if number <= epochs), default=0.0)


def hyperparameters(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of LEMUR's record of an epoch was chosen rather than measured."""
    return {k: v for k, v in record.items() if k not in _MEASURED and not k.startswith("metric_") and k != "epoch"}


def trial_key(record: Mapping[str, Any]) -> str:
    """What the epochs of one trial have in common, as text. SQLite keeps 1.0 as 1, which makes no difference here."""
    plain = {k: float(v) if isinstance(v, (int, float)) else v for k, v in hyperparameters(record).items()}
    return json.dumps(plain, sort_keys=True)


def results_of(store: Store, names: set[str]) -> list[tuple[str, str, str]]:
    """(dataset, metric, Net) of all captioning results of these Nets."""
    query = "SELECT DISTINCT dataset, metric, nn FROM stat WHERE task = ?"
    with connect(store.lemur, read_only=True) as connection:
        return sorted(row for row in connection.execute(query, (TASK,)) if row[2] in names)


def stored_trials(store: Store, name: str, dataset: str, metric: str) -> list[StoredTrial]:
    """The trials of the Net `name`, oldest first."""
    query = """SELECT id, epoch, accuracy, duration, prm, transform FROM stat
        WHERE task = ? AND dataset = ? AND metric = ? AND nn = ? AND accuracy IS NOT NULL ORDER BY rowid"""
    trials: list[StoredTrial] = []
    open_trials: dict[tuple[str, int, Any], StoredTrial] = {}
    with connect(store.lemur, read_only=True) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(query, (TASK, dataset, metric, name)).fetchall():
            record = _record(connection, row, metric)
            number, key, most = row["epoch"], trial_key(record), record["train_stat"].get("epoch_max")
            trial = open_trials.pop((key, number - 1, most), None)
            if trial is None:
                trial = StoredTrial(hyperparameters(record))
                trials.append(trial)
            trial.epochs[number] = record | {"task": TASK, "dataset": dataset, "metric": metric, "model": name}
            open_trials[key, number, most] = trial
    for trial in trials:
        _add_best(trial)
    return trials


def _record(connection: sqlite3.Connection, row: sqlite3.Row, metric: str) -> dict[str, Any]:
    """LEMUR's record of the epoch of a row of `stat`, in its order."""
    values: dict[str, set[Any]] = {}
    for name, value in connection.execute("SELECT name, value FROM prm WHERE uid = ?", (row["prm"],)):
        values.setdefault(name, set()).add(value)
    found = connection.execute("SELECT * FROM train_stat WHERE stat_id = ?", (row["id"],)).fetchone()
    train_stat = {key: found[key] for key in found.keys() if key != "stat_id"} if found else {}  # noqa: SIM118
    # First epochs of different Nets with the same hyperparameters share a uid, and LEMUR keeps what was measured
    # there under it: where it says two things, it is not known which belongs to this Net.
    record = {name: value.pop() for name, value in values.items() if len(value) == 1}
    if "epoch" in values:
        record["epoch"] = train_stat.get("epoch_max")
    record |= {"transform": row["transform"], "uid": row["prm"], "accuracy": row["accuracy"]}
    record |= {"duration": row["duration"], "duration_seconds": round((row["duration"] or 0) / 1e9, 2)}
    record[f"metric_{metric.split(',')[0].strip()}"] = row["accuracy"]
    return dict(sorted((record | {"train_stat": train_stat}).items()))


def _add_best(trial: StoredTrial) -> None:
    """LEMUR's files say in each epoch what was the best up to then; its database does not."""
    best, best_epoch = 0.0, 0
    for number, record in sorted(trial.epochs.items()):
        if record["accuracy"] > best:
            best, best_epoch = record["accuracy"], number
        record["train_stat"] |= {"best_accuracy": best, "best_epoch": best_epoch}
