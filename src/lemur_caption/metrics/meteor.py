"""METEOR 1.5 where its data are on disk: the program and paraphrase tables that pycocoevalcap brings, run in Java."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence

from ..errors import LemurCaptionError, UsageError


def meteor(captions: Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]]) -> float:
    """METEOR in [0, 1] of captions with their references, as pycocoevalcap computes it.

    Denkowski and Lavie, "Meteor Universal: Language Specific Translation Evaluation for Any Target Language", 2014.
    Starts one Java process (up to 2 GiB) for the call. Raises UsageError where pycocoevalcap or Java is missing, and
    LemurCaptionError where the program fails.
    """
    try:
        program = importlib.import_module("pycocoevalcap.meteor.meteor")
    except ModuleNotFoundError:
        raise UsageError("the metric `meteor` needs pycocoevalcap: pip install pycocoevalcap") from None
    if shutil.which("java") is None:
        raise UsageError("the metric `meteor` needs Java on the PATH: install a Java runtime or leave `meteor` out")
    scorer = program.Meteor()
    try:
        value, _ = scorer.compute_score(
            {image: [_line(row) for row in rows] for image, (_, rows) in enumerate(captions)},
            {image: [_line(caption)] for image, (caption, _) in enumerate(captions)},
        )
    except (OSError, ValueError) as error:
        scorer.lock.release()  # it stays locked where the program fails, and its end would wait for it
        raise LemurCaptionError(f"METEOR's Java program gave no score ({error}); leave `meteor` out") from error
    finally:
        scorer.meteor_p.stdout.close()
        scorer.meteor_p.stderr.close()
    return float(value)


def _line(words: Sequence[str]) -> str:
    """One line, for the program reads captions by the line: a line break inside a word would keep it waiting."""
    return " ".join(" ".join(words).split())
