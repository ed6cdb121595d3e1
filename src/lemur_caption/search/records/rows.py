"""A candidate as rows, and back again.

The way back gives an equal candidate, with two exceptions: a number that is not finite becomes None (LEMUR's own habit;
SQLite and JSON have neither NaN nor infinity), and half of a surrogate pair, which UTF-8 cannot hold, becomes its escape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...candidate import Candidate, Epoch, Outcome, Repair, SourcePass

Row = tuple[Any, ...]

# Columns of `trail` that a later save may fill or change without contradicting what was saved before, and those which,
# once filled, say what has happened.
FREE = ("name", "family", "source", "outcome", "detail", "fingerprint", "parameters", "flops", "parts",
        "prompt_tokens", "answer_tokens", "seconds", "quality", "samples")  # fmt: skip
FIXED = ("model", "seed", "strategy", "temperature", "design", "snippets", "prompt", "dropped", "response")
TRAIL = FREE + FIXED
CHILDREN = {
    "parent": ("position", "name"),
    "repair": ("position", "prompt", "response", "source", "note"),
    "pass": ("round", "position", "name", "source", "note"),
    "finding": ("round", "position", "finding"),
    "epoch": ("position", "epoch", "accuracy", "train_loss", "test_loss", "seconds", "prm"),
}
_EMPTY = (None, "", 0, "[]", "{}")


@dataclass(frozen=True)
class TrailRows:
    """A trail as rows: its own, and those of each child table in their order, without the trail's id."""

    trail: Mapping[str, Any]
    children: Mapping[str, list[Row]]

    def continues(self, older: TrailRows) -> bool:
        """Whether this is what `older` was, and more: nothing in it is contradicted or missing."""
        fixed = all(older.trail[key] in _EMPTY or older.trail[key] == self.trail[key] for key in FIXED)
        grown = all(self.children[table][: len(rows)] == rows for table, rows in older.children.items())
        # A repair replaces the source; the one before stays as what the last pass left.
        sources = {"", self.trail["source"], *(source for *_, source, _ in self.children["pass"])}
        return fixed and grown and older.trail["source"] in sources


def to_json(value: Any) -> str:
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _text(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def to_rows(candidate: Candidate, quality: float | None, samples: list[dict[str, str]]) -> TrailRows:
    """The rows of a candidate, and of what else its training told."""
    texts = {
        key: _text(getattr(candidate, key))
        for key in ("name", "family", "source", "model", "strategy", "prompt", "response", "detail")
    }
    others = {
        key: getattr(candidate, key)
        for key in ("seed", "temperature", "fingerprint", "parameters", "flops", "prompt_tokens", "answer_tokens")
    }
    jsons = {key: to_json(getattr(candidate, key)) for key in ("snippets", "dropped", "seconds")}
    trail = {
        **texts,
        **others,
        **jsons,
        **{key: None if (value := getattr(candidate, key)) is None else to_json(value) for key in ("design", "parts")},
        "outcome": candidate.outcome.value if candidate.outcome else None,
        "quality": _number(quality),
        "samples": to_json(samples),
    }
    rounds = [candidate.passes, *(repair.passes for repair in candidate.repairs)]
    findings = [*(repair.findings for repair in candidate.repairs), candidate.findings]
    children: dict[str, list[Row]] = {
        "parent": [(i, _text(name)) for i, name in enumerate(candidate.parents)],
        "repair": [
            (i, _text(repair.prompt), _text(repair.response), _text(repair.source), _text(repair.note))
            for i, repair in enumerate(candidate.repairs)
        ],
        "pass": [
            (number, i, _text(step.name), _text(step.source), _text(step.note))
            for number, passes in enumerate(rounds)
            for i, step in enumerate(passes)
        ],
        "finding": [
            (number, i, to_json(finding)) for number, found in enumerate(findings) for i, finding in enumerate(found)
        ],
        "epoch": [
            (
                i,
                epoch.epoch,
                epoch.accuracy,
                _number(epoch.train_loss),
                _number(epoch.test_loss),
                epoch.seconds,
                to_json(epoch.prm),
            )
            for i, epoch in enumerate(candidate.epochs)
        ],
    }
    return TrailRows(trail, children)


def to_candidate(rows: TrailRows) -> Candidate:
    """The candidate that rows came from."""
    trail, children = rows.trail, rows.children
    repairs = [
        Repair(
            prompt,
            _findings(children["finding"], position),
            response=response,
            passes=_passes(children["pass"], position + 1),
            source=source,
            note=note,
        )
        for position, prompt, response, source, note in children["repair"]
    ]
    plain = ("name", "family", "source", "model", "seed", "strategy", "temperature", "prompt", "response", "detail",
             "fingerprint", "parameters", "flops", "prompt_tokens", "answer_tokens")  # fmt: skip
    return Candidate(
        **{key: trail[key] for key in plain},
        **{key: json.loads(trail[key]) for key in ("snippets", "dropped", "seconds")},
        parents=[name for _, name in children["parent"]],
        design=None if trail["design"] is None else json.loads(trail["design"]),
        parts=None if trail["parts"] is None else json.loads(trail["parts"]),
        outcome=None if trail["outcome"] is None else Outcome(trail["outcome"]),
        passes=_passes(children["pass"], 0),
        repairs=repairs,
        findings=_findings(children["finding"], len(repairs)),
        epochs=[
            Epoch(epoch, accuracy, train_loss, test_loss, seconds, json.loads(prm))
            for _, epoch, accuracy, train_loss, test_loss, seconds, prm in children["epoch"]
        ],
    )


def _passes(rows: Iterable[Row], number: int) -> list[SourcePass]:
    return [SourcePass(*step) for round_, _, *step in rows if round_ == number]


def _findings(rows: Iterable[Row], number: int) -> list[dict[str, Any]]:
    return [json.loads(finding) for round_, _, finding in rows if round_ == number]
