"""The LEMUR metric files, each the text of `lemur_metric.py` under its own NAME.

LEMUR stores a metric as one text that must run by itself, so six metrics are six whole files; after a change of
`lemur_metric.py`, `python -m lemur_caption.metrics.files` writes them anew.
"""

from __future__ import annotations

from pathlib import Path

from .lemur_metric import METRICS, NAME

MARKER = "# Part of lemur-caption (MIT licence); written by `lemur-caption register`.\n"
SOURCE = Path(__file__).with_name("lemur_metric.py")
FOLDER = Path(__file__).parents[1] / "lemur_files" / "metric"


def text(name: str) -> str:
    """The LEMUR metric file of this metric, one of METRICS."""
    return MARKER + SOURCE.read_text(encoding="utf-8").replace(f'NAME = "{NAME}"', f'NAME = "{name}"', 1)


if __name__ == "__main__":
    for metric in METRICS:
        (FOLDER / f"{metric}.py").write_text(text(metric), encoding="utf-8")
