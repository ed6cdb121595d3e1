"""The LEMUR metric files: the text of `lemur_metric.py`, each under a NAME of its own.

LEMUR stores a metric as one text that must run by itself, so six metrics are six whole texts, made when they are registered.
"""

from __future__ import annotations

from pathlib import Path

from .lemur_metric import METRICS, NAME

MARKER = "# Part of lemur-caption (MIT licence); written by `lemur-caption register`.\n"
SOURCE = Path(__file__).with_name("lemur_metric.py")


def text(name: str) -> str:
    """The LEMUR metric file of this metric, one of METRICS."""
    return MARKER + SOURCE.read_text(encoding="utf-8").replace(f'NAME = "{NAME}"', f'NAME = "{name}"', 1)


def write(folder: Path) -> None:
    """Write every metric file into `folder`, as LEMUR has them."""
    for metric in METRICS:
        (folder / f"{metric}.py").write_text(text(metric), encoding="utf-8")
