"""Captioning metrics: `score(hypotheses, references, metrics)`, and behind it the metrics that LEMUR runs."""

from .library import METRICS, score

__all__ = ["METRICS", "score"]
