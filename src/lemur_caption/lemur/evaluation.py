"""Captions of the whole validation split by a trained Net, and their scores.

As in training the parent never executes the Net's code: a sandboxed child writes token ids, and the
parent checks their form before it turns them into words, scores them and writes COCO's result format.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..candidate import Outcome
from ..dataset.annotations import CaptionedImage, read_annotations
from ..dataset.caption_cache import open_captions
from ..dataset.vocabulary import Vocabulary, tokenize
from ..errors import TrialError, UsageError
from ..metrics import score
from . import runner
from .child import running
from .loading import TASK
from .root import connect
from .store import Store
from .trial import CAPTIONS, CaptionJob, TrialJob
from .weights import NotPlainError, Weights, plain_file

# Room in the child's file for the ids of one image.
_BYTES_AN_IMAGE = 16_384


@dataclass
class Evaluation:
    """Values of the metrics by name over all `images`, and `captions` in COCO's result format."""

    images: int
    metrics: dict[str, float]
    captions: list[dict[str, Any]]


def has_beam_search(source: str) -> bool:
    """Whether a Net's source defines a method `beam_search(images, beam_size)`; it is read, not run."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == "beam_search" for node in ast.walk(tree))


def evaluate(
    name: str,
    job: CaptionJob,
    trained: Weights,
    metrics: Sequence[str],
    data: Path,
    *,
    timeout_seconds: float | None = None,
) -> Evaluation:
    """Caption every validation image of the folder `data` with the Net's weights and score the captions.

    Hypotheses and references are compared as words, each image with all its captions; a word that the vocabulary
    lacks matches nothing. Raises UsageError for an unknown metric and for weights that do not fit, DatasetError
    for unusable data, and TrialError where the Net or its child process fails.
    """
    vocabulary, images = _validation(data)
    with running(job, data, timeout_seconds, f"the evaluation of {name}", trained.path) as (scratch, child):
        finished = child.wait()
        try:
            _check_ending(name, finished.outcome, scratch, trained)
            with plain_file(scratch / CAPTIONS, _BYTES_AN_IMAGE * (len(images) + 1)) as file:
                rows = _checked(json.loads(file.read()), len(images), len(vocabulary))
        except (NotPlainError, ValueError, TypeError, RecursionError) as error:
            raise TrialError(f"{name} did not leave the ids of {len(images)} captions: {error}") from error
    captions: list[dict[str, Any]] = [
        {"image_id": image.image_id, "caption": vocabulary.decode(row)} for image, row in zip(images, rows, strict=True)
    ]
    hypotheses = [vocabulary.decode(row).split() for row in rows]
    references = [[tokenize(caption) for caption in image.captions] for image in images]
    return Evaluation(len(images), score(hypotheses, references, metrics), captions)


def best_trial(store: Store, name: str, source: str, dataset: str) -> TrialJob | None:
    """The stored trial of a Net on `dataset` that came furthest by its own metric, to be run again; None where none is.

    Trials measured by `bleu-4` go before others, whose values do not compare with theirs.
    """
    query = """
        SELECT prm, metric, transform, epoch FROM stat WHERE nn = ? AND task = ? AND dataset = ?
        ORDER BY metric LIKE 'bleu-4%' DESC, accuracy DESC LIMIT 1"""
    with connect(store.lemur, read_only=True) as connection:
        row = connection.execute(query, (name, TASK, dataset)).fetchone()
        if row is None:
            return None
        uid, metric, transform, epoch = row
        prm = dict(connection.execute("SELECT name, value FROM prm WHERE uid = ?", (uid,)))
    try:
        lr, momentum, batch = float(prm["lr"]), float(prm["momentum"]), int(prm["batch"])
    except (KeyError, ValueError):
        return None
    return TrialJob(
        source, dataset, metric, transform, epochs=int(epoch), batch=batch, lr=lr, momentum=momentum, keep_weights=True
    )


def _validation(data: Path) -> tuple[Vocabulary, list[CaptionedImage]]:
    """The vocabulary of the training captions, and the validation images in the order in which a loader gives them."""
    return open_captions(data).vocabulary, read_annotations(data / "annotations" / "captions_val2017.json")


def _check_ending(name: str, outcome: Outcome | None, scratch: Path, trained: Weights) -> None:
    """Raise what a child that did not come to a good end deserves."""
    if outcome is Outcome.TIMEOUT:
        raise TrialError(f"{name} did not caption the split in its time; give it more with --timeout")
    try:
        with plain_file(scratch / "result.json", 1 << 20) as file:
            result = dict(json.loads(file.read()))
    except NotPlainError:
        raise TrialError(
            f"the process that ran {name} died ({outcome.value if outcome else 'it left no result'})"
        ) from None
    result = {"error": None, "errno": None, "message": ""} | result
    if result["error"] == "WeightsError":
        raise UsageError(
            f"the weights {trained.path} do not fit {name} ({_brief(result['message'])}); "
            f"train it again with --keep-weights"
        )
    if result["error"]:
        failed = runner.failed(result, [])
        raise TrialError(f"{name} failed while it wrote captions: {_brief(failed.detail)}")


def _brief(text: object) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= 300 else words[:300] + " …"


def _checked(rows: Any, images: int, words: int) -> list[list[int]]:
    """The rows, known to be one list of ids of the vocabulary an image. Raises ValueError."""
    if not isinstance(rows, list) or len(rows) != images:
        found = f"{len(rows)} rows" if isinstance(rows, list) else f"a {type(rows).__name__}"
        raise ValueError(f"{images} rows are wanted, one an image, not {found}")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or not all(type(token) is int and 0 <= token < words for token in row):
            raise ValueError(f"row {number} is no list of ids from 0 to {words - 1}")
    return rows
