"""LEMUR's `<epoch>.json` files, as a child process that runs untrusted code leaves them."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from ..candidate import Epoch
from . import weights

POLL_SECONDS = 0.1
# A hundred trials take a quarter of a megabyte an epoch.
_MOST_BYTES = 16 << 20
# What LEMUR adds to the JSON of an epoch for human readers; its database does not get them.
_JSON_ONLY = ("task", "dataset", "metric", "model")


class TamperedError(Exception):
    """A file of the scratch root is not what LEMUR writes: the Net has been at it."""


def epoch_records(path: Path) -> list[dict[str, Any]] | None:
    """LEMUR's records of an epoch, one a trial and at least one, or None while the file is missing or half-written.

    Raises TamperedError.
    """
    if not os.path.lexists(path):
        return None
    try:
        with weights.plain_file(path, _MOST_BYTES) as file:
            trials = json.loads(file.read().decode("utf-8"))
    except json.JSONDecodeError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise TamperedError(f"epoch {path.stem} cannot be read") from error
    if not isinstance(trials, list) or not trials:
        raise TamperedError(f"epoch {path.stem} is no record of LEMUR's")
    for record in trials:
        _check(record, path.stem)
    return trials


def _check(record: Any, epoch: str) -> None:
    if not isinstance(record, dict) or not isinstance(record.get("train_stat"), dict):
        raise TamperedError(f"epoch {epoch} is no record of LEMUR's")
    values = [value for key, value in record.items() if key != "train_stat"] + list(record["train_stat"].values())
    accuracy = record.get("accuracy")
    losses = [record["train_stat"].get(key) for key in ("train_loss", "test_loss")]
    numbers = [record.get("duration_seconds", 0.0), *(loss for loss in losses if loss is not None)]
    plain = all(map(_storable, values)) and all(isinstance(number, (int, float)) for number in numbers)
    if not plain or not isinstance(accuracy, (int, float)) or not 0 <= accuracy < math.inf or "uid" not in record:
        raise TamperedError(f"epoch {epoch} holds other values than LEMUR stores")


def _storable(value: Any) -> bool:
    """Whether SQLite can hold it."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, float)


def as_epoch(number: int, record: dict[str, Any]) -> Epoch:
    """An epoch from LEMUR's record of it."""
    losses = record.get("train_stat", {})
    return Epoch(
        epoch=number,
        accuracy=float(record["accuracy"]),
        train_loss=losses.get("train_loss"),
        test_loss=losses.get("test_loss"),
        seconds=float(record.get("duration_seconds", 0.0)),
        prm={key: value for key, value in record.items() if key not in _JSON_ONLY},
    )
