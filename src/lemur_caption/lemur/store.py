"""LEMUR's store as the rest of lemur-caption sees it: Nets in, epochs in, code and results out."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from ..errors import StoreError, UsageError
from ..prompt.pool import MOST_NETS, released_pool, spread, torchvision_pool
from ..quiet import quiet
from . import registry
from .bootstrap import ensure_database
from .loading import TASK
from .root import Lemur, attach, connect


def _enumerate(names: set[str], most: int = 24) -> str:
    listed = sorted(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


class Store:
    """An open LEMUR store. Writing goes through LEMUR's own writer; nothing is ever deleted."""

    def __init__(self, lemur: Lemur) -> None:
        self.lemur = lemur

    @classmethod
    def open(cls, root: Path | str | None = None, *, offline: bool = False) -> Store:
        """Attach to the LEMUR at `root`, make its database if there is none, and register our task."""
        lemur = attach(root)
        ensure_database(lemur, offline=offline)
        registry.register(lemur)
        return cls(lemur)

    def save_epoch(self, name: str, source: str, dataset: str, metric: str, epoch: int, prm: dict[str, Any]) -> None:
        """Store one epoch of a trial under the Net's `name`, with its code. `prm` is LEMUR's record of the epoch.

        Raises StoreError when the database cannot take it (a full disk, a read-only file); the
        transaction is undone and what was stored before stays.
        """
        with quiet():
            from ab.nn.util.db.Write import save_results

            try:
                save_results((TASK, dataset, metric, name, epoch), dict(prm), nn_code=source)
            except (sqlite3.Error, OSError) as error:
                raise StoreError(
                    f"epoch {epoch} of {name} could not be stored in {self.lemur.database} ({error}); "
                    "free some disk space or check its permissions, then train it again"
                ) from error
        self._list_transform(prm["transform"])

    def has_epoch(self, name: str, dataset: str, metric: str, epoch: int, prm: dict[str, Any]) -> bool:
        """Whether LEMUR has this epoch of this Net by the same transform and, where `prm` has them, learning rate,
        momentum and batch size.

        LEMUR's `uid` does not say so: from the second epoch on it is a digest of measured values as well.
        """
        chosen = [key for key in ("lr", "momentum", "batch") if key in prm]
        same = "".join(
            f" AND EXISTS (SELECT 1 FROM prm WHERE uid = stat.prm AND name = '{key}' AND value = ?)" for key in chosen
        )
        query = f"""SELECT 1 FROM stat
            WHERE task = ? AND dataset = ? AND metric = ? AND nn = ? AND epoch = ? AND transform = ?{same}"""
        key = (TASK, dataset, metric, name, epoch, prm["transform"], *(prm[part] for part in chosen))
        with connect(self.lemur, read_only=True) as connection:
            return connection.execute(query, key).fetchone() is not None

    def _list_transform(self, transform: str) -> None:
        """LEMUR joins results with the code of their transform, but its writer does not store that."""
        path = self.lemur.package / "transform" / f"{transform}.py"
        if path.exists():
            code = path.read_text(encoding="utf-8")
            with connect(self.lemur) as connection:
                connection.execute(
                    "INSERT OR IGNORE INTO transform (name, code, id) VALUES (?, ?, ?)",
                    (transform, code, registry.code_id(code)),
                )

    def materialize(self, kind: str, name: str) -> None:
        """Have LEMUR write the file of a metric or transform that it keeps in a code table only.

        A trial's scratch root shares LEMUR's package folder but not its database. Raises UsageError
        for a name that LEMUR does not have.
        """
        folder = self.lemur.package / kind
        if (folder / f"{name}.py").exists():
            return
        with connect(self.lemur, read_only=True) as connection:
            stored = {row[0] for row in connection.execute(f"SELECT name FROM {kind}")}
        if name not in stored:
            raise UsageError(f"unknown {kind} `{name}`; LEMUR lists {_enumerate(stored)}; all files are in {folder}")
        with quiet():
            from ab.nn.util.db.Util import nn_mod

            nn_mod(kind, name)

    def net_source(self, name: str) -> str:
        """The code of a stored or registered Net. Raises UsageError for an unknown name."""
        with connect(self.lemur, read_only=True) as connection:
            row = connection.execute("SELECT code FROM nn WHERE name = ?", (name,)).fetchone()
            if row:
                return str(row[0])
        raise UsageError(
            f"LEMUR has no Net `{name}`, and no such file exists; it has {_enumerate(self.net_names(), 6)}"
        )

    def net_names(self) -> set[str]:
        """The names of all Nets that LEMUR has code of."""
        with connect(self.lemur, read_only=True) as connection:
            return {row[0] for row in connection.execute("SELECT name FROM nn")}

    def captioning_nets(self) -> list[tuple[str, str]]:
        """The Nets that have captioning results, (name, code) each, in order of name."""
        query = "SELECT name, code FROM nn WHERE name IN (SELECT nn FROM stat WHERE task = ?) ORDER BY name"
        with connect(self.lemur, read_only=True) as connection:
            return [(name, code) for name, code in connection.execute(query, (TASK,))]

    def snippet_pool(self, release: Path | None = None) -> list[tuple[str, str]]:
        """The Nets that snippets are drawn from: an nn-dataset release's, else this store's, else torchvision's.

        Raises UsageError where the release has none.
        """
        if release is not None:
            return released_pool(release)
        return self.classification_nets() or torchvision_pool()

    def classification_nets(self, most: int = MOST_NETS) -> list[tuple[str, str]]:
        """Up to `most` image-classification Nets, (name, code) each, in order of name; empty where LEMUR has none.

        Where there are more, as many of each family as can be.
        """
        query = "SELECT DISTINCT nn FROM stat WHERE task = 'img-classification'"
        with connect(self.lemur, read_only=True) as connection:
            names = spread((row[0] for row in connection.execute(query)), most)
        if not names:
            return []
        with quiet():
            import ab.nn.api

            nets = ab.nn.api.data(task="img-classification", nn=tuple(names), unique_nn=True)
        return sorted(zip(nets["nn"], nets["nn_code"], strict=True))

    def results(self, task: str = TASK) -> list[dict[str, Any]]:
        """LEMUR's results of a task, the best of each Net, dataset, metric and epoch, as `ab.nn.api.data` gives them.

        Raises StoreError for a database that cannot be read.
        """
        with quiet():
            try:
                # LEMUR opens its database when this is imported.
                from ab.nn.util.db.Read import data

                return list(data(only_best_accuracy=True, task=task))
            except sqlite3.Error as error:
                raise StoreError(
                    f"LEMUR's database {self.lemur.database} cannot be read ({error}); "
                    "move it away and `lemur-caption restore` it"
                ) from error

    def best_result(self, name: str) -> dict[str, Any] | None:
        """LEMUR's captioning result of a Net with the highest accuracy; None where it has none."""
        found = [row for row in self.results() if row["nn"] == name]
        return max(found, key=lambda row: float(row["accuracy"]), default=None)

    def counts(self) -> dict[str, int]:
        """How many Nets, results and captioning results the store holds."""
        with connect(self.lemur, read_only=True) as connection:
            nets, results, captioning = connection.execute(
                "SELECT (SELECT COUNT(*) FROM nn), COUNT(*), COALESCE(SUM(task = ?), 0) FROM stat", (TASK,)
            ).fetchone()
        return {"nets": nets, "results": results, "captioning_results": captioning}
