"""The hand-made baselines as points of the design space, which is what a search of designs starts from."""

from __future__ import annotations

from typing import Any

from .design import Design
from .space import choices

_ENCODER = {"block": "residual", "depth": 1, "width": 24, "resolution": "fine", "channel_attention": "none"}
_TRAINING = {"dropout": "0.1", "label_smoothing": "0.0"}
_BASELINES: dict[str, dict[str, Any]] = {
    "CaptionLSTM": {"decoder": "lstm", "attention": "dot", "hidden_size": 192, "layers": 1, "tied_embeddings": False},
    "CaptionTransformer": {
        "decoder": "transformer",
        "attention": "none",
        "hidden_size": 128,
        "layers": 2,
        "heads": 4,
        "tied_embeddings": False,
    },
}


def baseline_design(name: str, size: str, lr: float, momentum: float) -> Design | None:
    """The design that is nearest to a baseline which is trained at `lr` and `momentum`.

    None for a Net that is none of ours, and where designs of this size have no such point.
    """
    if name not in _BASELINES:
        return None
    fields = choices(size)
    own = {"size": size, "memory": "grid", "lr": str(lr), "momentum": str(momentum)}
    values = {"heads": fields["heads"][0]} | _ENCODER | _TRAINING | _BASELINES[name] | own
    return Design(**values) if all(values[field] in allowed for field, allowed in fields.items()) else None
