"""Scores of captions given as lists of words or of token ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ..errors import UsageError
from . import lemur_metric
from .lemur_metric import EOS, PAD, SOS, Batch, Captions, Corpus
from .meteor import meteor

METRICS = (*lemur_metric.METRICS, "meteor")

Caption = Sequence[str] | Sequence[int]


def score(
    hypotheses: Sequence[Caption], references: Sequence[Sequence[Caption]], metrics: Iterable[str]
) -> dict[str, float]:
    """The values of `metrics`, names of METRICS, for one hypothesis an image and that image's references.

    Captions are lists of words, taken as they are, or of token ids, which end before their first <EOS> (2) and lose
    <PAD> (0) and <SOS> (1). A row of padding alone is no reference, `[]` is an empty one; an image without references
    is left out. BLEU, ROUGE-L and METEOR lie in [0, 1], CIDEr-D in [0, 10]; all are 0.0 where no image is left.
    `lemur_metric` has the formulas, and says which edges pycocoevalcap and NLTK count differently. `meteor` takes
    words alone. All but `meteor` share one count of the n-grams.

    Raises UsageError for an unknown metric, another number of references than hypotheses, captions that are neither
    words nor ids, and for `meteor` over ids or where pycocoevalcap or Java is missing.
    """
    names = list(metrics)
    for name in names:
        if name not in METRICS:
            raise UsageError(f"there is no metric `{name}`; the metrics are {', '.join(METRICS)}")
    if len(hypotheses) != len(references):
        raise UsageError(f"{len(hypotheses)} hypotheses need as many lists of references, not {len(references)}")
    captions: list[tuple[Sequence[Any], list[Sequence[Any]]]]
    words = _are_words([*hypotheses, *itertools.chain.from_iterable(references)])
    if words:
        captions = [(caption, list(rows)) for caption, rows in zip(hypotheses, references, strict=True)]
    else:
        captions = [
            (_cut(caption), [_cut(row) for row in rows if not len(row) or any(row)])
            for caption, rows in zip(hypotheses, references, strict=True)
        ]
    captions = [(caption, rows) for caption, rows in captions if rows]
    if not captions:
        return dict.fromkeys(names, 0.0)
    if "meteor" in names and not words:
        raise UsageError("the metric `meteor` compares words, not ids: turn the ids into words first")
    corpus = Corpus([_batch(captions)])
    return {name: meteor(captions) if name == "meteor" else corpus.value(name) for name in names}


def _are_words(captions: Iterable[Caption]) -> bool:
    """Whether the captions are lists of words (True) or of ids (False). Raises UsageError for anything else."""
    rows = list(captions)
    if any(isinstance(row, str) for row in rows):
        raise UsageError("a caption is a list of words or of ids, not a sentence: split it first")
    kinds = set(map(type, itertools.chain.from_iterable(rows)))
    if all(issubclass(kind, str) for kind in kinds):
        return True
    if all(issubclass(kind, Integral) for kind in kinds):
        return False
    raise UsageError(
        f"captions are all lists of str or all lists of int, not of {', '.join(sorted(kind.__name__ for kind in kinds))}"
    )


def _cut(ids: Sequence[Any]) -> list[Any]:
    """The ids before the first <EOS>, without <PAD> and <SOS>."""
    return [token for token in itertools.takewhile(EOS.__ne__, ids) if token not in (PAD, SOS)]


def _batch(captions: list[tuple[Sequence[Any], list[Sequence[Any]]]]) -> Batch:
    numbers: dict[Any, int] = {}

    def gather(rows: list[Sequence[Any]], images: list[int]) -> Captions:
        tokens = [numbers.setdefault(token, len(numbers)) for row in rows for token in row]
        lengths = [len(row) for row in rows]
        return Captions(np.array(tokens, dtype=np.int64), np.array(lengths), np.array(images))

    hypotheses = gather([caption for caption, _ in captions], list(range(len(captions))))
    owners = [image for image, (_, rows) in enumerate(captions) for _ in rows]
    return Batch(hypotheses, gather([row for _, rows in captions for row in rows], owners))
