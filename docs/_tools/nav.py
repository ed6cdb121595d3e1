"""MkDocs hook: leaves out of the navigation what is not there yet, such as the report that a long run writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    config.nav = existing(config.nav, Path(config.docs_dir))
    return config


def existing(entries: list[Any], docs: Path) -> list[Any]:
    """The entries whose pages are there, and the sections that have any."""
    kept: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            kept += [entry] * (docs / entry).is_file()
        else:
            ((title, below),) = entry.items()
            found = existing([below] if isinstance(below, str) else below, docs)
            kept += [{title: found[0] if isinstance(below, str) else found}] if found else []
    return kept
