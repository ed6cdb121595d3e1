"""A run: the settings and versions of one search, and how it stands."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...errors import UsageError
from .migrations import now
from .rows import to_json

_PACKAGES = ("lemur-caption", "nn-dataset", "torch", "torchvision", "transformers", "nltk", "optuna", "ray")


class RunState(str, Enum):
    """How a run stands. Whatever is not `finished` can be resumed; of a killed one `running` stays."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Run:
    """A run as the records know it. `started` and `ended` are ISO 8601 in UTC.

    `candidates` counts what has been saved, `trained` those with a success as outcome; `best` is the highest metric of
    a last epoch among these, None where there is none. The baselines, whose indexes are below 0, are left out.
    """

    id: int
    settings: dict[str, Any]
    versions: dict[str, Any]
    started: str
    ended: str | None
    state: RunState
    candidates: int
    trained: int
    best: float | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return asdict(self) | {"state": self.state.value}


def versions() -> dict[str, Any]:
    """What a result may depend on beside its settings: packages, Python, the platform and its devices."""
    found: dict[str, Any] = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"devices": _devices()}


def _devices() -> list[str]:
    """The processor and NVIDIA's GPUs, as Linux names them; asking torch would load it."""
    named = []
    places = [(Path("/proc/cpuinfo"), "model name")]
    places += [(path, "Model") for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    for path, key in places:
        if path.exists():
            pairs = (line.partition(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
            named += [value.strip() for name, _, value in pairs if name.strip() == key][:1]
    return named or [platform.processor() or platform.machine()]


def insert(connection: sqlite3.Connection, settings: Mapping[str, Any]) -> int:
    values = (_settings(settings), to_json(versions()), now(), RunState.RUNNING.value)
    cursor = connection.execute("INSERT INTO run (settings, versions, started, state) VALUES (?, ?, ?, ?)", values)
    return int(cursor.lastrowid or 0)


def _settings(settings: Mapping[str, Any]) -> str:
    try:
        return to_json(settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the settings of a run must be JSON ({error})") from error


def set_state(connection: sqlite3.Connection, run: int, state: RunState) -> None:
    ended = None if state is RunState.RUNNING else now()
    changed = connection.execute("UPDATE run SET state = ?, ended = ? WHERE id = ?", (state.value, ended, run))
    if changed.rowcount == 0:
        raise unknown(run)


def unknown(run: int) -> UsageError:
    return UsageError(f"the records have no run {run}; `lemur-caption runs` lists them")


def select(connection: sqlite3.Connection, run: int | None = None) -> list[Run]:
    """The runs, or the one of that number, oldest first."""
    query = """
        WITH latest AS (
            SELECT candidate.run, trail.outcome, trail.id FROM candidate
            JOIN trail ON trail.id = (SELECT MAX(id) FROM trail WHERE candidate = candidate.id)
            WHERE candidate.number >= 0
        ), ended AS (
            SELECT run, outcome IN ('trained', 'improved') AS success, (
                SELECT accuracy FROM epoch WHERE trail = latest.id ORDER BY position DESC LIMIT 1
            ) AS score FROM latest
        )
        SELECT run.id, settings, versions, started, run.ended, state, COUNT(ended.run),
            COALESCE(SUM(success), 0), MAX(CASE WHEN success THEN score END)
        FROM run LEFT JOIN ended ON ended.run = run.id
        WHERE ? IS NULL OR run.id = ?
        GROUP BY run.id ORDER BY run.id"""
    return [
        Run(number, json.loads(settings), json.loads(found), started, ended, RunState(state), *counts)
        for number, settings, found, started, ended, state, *counts in connection.execute(query, (run, run))
    ]
