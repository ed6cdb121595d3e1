"""`adapt`: rewrite an older LEMUR captioning Net so that today's LEMUR trains it.

Each transformation has a name, does one thing to the syntax tree, keeps comments and layout, and
leaves a Net that does not need it as it is. What cannot be done safely is refused with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import captions, criterion, device, forward, hyperparameters, imports, inference, learn, weights
from .draft import AdaptError, Change, Draft

__all__ = ["TRANSFORMATIONS", "AdaptError", "Adaptation", "Change", "adapt"]

# In this order: the later ones read what the earlier ones have put in its place.
TRANSFORMATIONS = {
    imports.VANISHED: imports.apply_vanished,
    imports.VOCABULARY: imports.apply_vocabulary,
    weights.NAME: weights.apply,
    device.NAME: device.apply,
    criterion.CRITERION: criterion.apply_name,
    criterion.PADDING: criterion.apply_padding,
    hyperparameters.DECLARED: hyperparameters.apply_declared,
    hyperparameters.USED: hyperparameters.apply_used,
    forward.ARGUMENTS: forward.apply_arguments,
    captions.LENGTH: captions.apply_length,
    forward.RETURN: forward.apply_return,
    captions.FIVE: captions.apply_five,
    inference.NAME: inference.apply,
    learn.NAME: learn.apply,
}


@dataclass(frozen=True)
class Adaptation:
    """An adapted Net: its `source`, what was changed, and what was refused, as `line N: transformation: reason`."""

    source: str
    changes: list[Change]
    refusals: list[str]


def adapt(source: str, *, random_weights: bool = False) -> Adaptation:
    """Rewrite a captioning Net as far as is safe. The Net is never run.

    A source that needs nothing comes back byte for byte, and adapting twice is adapting once.
    `random_weights` lets torchvision's models start from random weights in place of a download.
    Raises AdaptError for a file that does not parse, has no class Net with `__init__`,
    `train_setup`, `learn` and `forward`, or whose `learn` is not understood.
    """
    try:
        draft = Draft(source, random_weights=random_weights)
        for name in ("__init__", "train_setup", "forward", "learn"):
            draft.method(name)
        for transform in TRANSFORMATIONS.values():
            transform(draft)
    except RecursionError as error:
        raise AdaptError("the file nests too deeply to be rewritten; simplify it") from error
    return Adaptation(draft.source if draft.changes else source, draft.changes, draft.refusals)
