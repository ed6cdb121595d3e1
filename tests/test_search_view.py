"""The live table of a running search."""

from __future__ import annotations

import io
import math
import re

from rich.console import Console

from lemur_caption.architecture import default_design
from lemur_caption.candidate import Candidate, Epoch, Outcome
from lemur_caption.cli.search_view import LiveTable
from lemur_caption.search.parts import Event
from lemur_caption.search.settings import Settings


def told(table: LiveTable) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=False)
    console.print(table.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


def net(index: int, *scores: float) -> Candidate:
    candidate = Candidate(f"C5C-Net-{index:032d}", "C5C-Net", "", design=default_design().model_dump(mode="json"))
    candidate.epochs = [Epoch(number, score, None, None, 1.0) for number, score in enumerate(scores, 1)]
    return candidate


def test_what_trains_and_what_was_best_are_shown() -> None:
    table = LiveTable(Settings(n=24), ended=3)
    assert "3 of 24 candidates" in told(table)
    baseline = net(-1, 0.1, 0.4, 0.6)
    baseline.finish(Outcome.TRAINED, "", baseline.epochs)
    table.event(Event("ended", -1, baseline))
    running, waiting, refused = net(3, 0.21), net(4), net(5)
    refused.end(Outcome.CONTRACT, "LC301 no logits")
    table.event(Event("checked", 3, running))
    table.event(Event("epoch", 3, running, running.epochs[-1]))
    table.event(Event("checked", 4, waiting))
    table.event(Event("ended", 5, refused))
    lines = told(table).splitlines()
    rows = [line for line in lines if "C5C-Net-" in line]
    assert len(rows) == 3, "what came to nothing is a number below, no row"
    assert re.search(r"base .* 3/3 +0\.6000 +▁▄▅ +trained", rows[0]), rows[0]
    assert re.search(r"\b3 .*residual\+se fine grid.*lstm\+dot.* 1/3 +0\.2100 +▂ +training", rows[1]), rows[1]
    assert "0/3" in rows[2] and "waiting" in rows[2]
    assert "4 of 24 candidates" in lines[-1] and "1 contract" in lines[-1] and "left" in lines[-1], lines[-1]
    running.finish(Outcome.IMPROVED, "", [*running.epochs, Epoch(2, math.nan, None, None, 2.0)])
    table.event(Event("ended", 3, running))
    assert "1 improved" in told(table) and "training" not in told(table)
