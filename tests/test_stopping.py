"""Settings of a search, budgets, and when a trial ends early."""

import pytest

from lemur_caption.candidate import Epoch, Outcome
from lemur_caption.errors import UsageError
from lemur_caption.search.settings import Settings, parse_budget
from lemur_caption.search.stopping import Pruning, gone_wrong


def epochs(*measured: tuple[float | None, float]) -> list[Epoch]:
    """Epochs from (training loss, metric) pairs."""
    return [Epoch(number, metric, loss, 1.0, 1.0) for number, (loss, metric) in enumerate(measured, 1)]


@pytest.mark.parametrize(
    ("text", "budget"), [("24", 24), ("90s", 90.0), ("30m", 1800.0), ("1.5h", 5400.0), (" 2d ", 172800.0)]
)
def test_a_budget_is_a_time_or_a_number(text, budget):
    assert parse_budget(text) == budget and type(parse_budget(text)) is type(budget)


@pytest.mark.parametrize("text", ["", "0", "0m", "-3", "1.5", "3 weeks", "m", "1e9", "nan"])
def test_another_budget_is_refused(text):
    with pytest.raises(UsageError, match="give a time such as"):
        parse_budget(text)


def test_settings_keep_through_a_record():
    settings = Settings(llm="replay:x", n=7, budget_seconds=3.0)
    assert Settings.from_dict(settings.to_dict()) == settings
    with pytest.raises(UsageError, match="colour"):
        Settings.from_dict(settings.to_dict() | {"colour": "red"})
    with pytest.raises(UsageError, match="lag is 0"):
        Settings(lag=0)


@pytest.mark.parametrize(
    ("measured", "outcome", "words"),
    [
        (epochs((None, 0.0)), Outcome.DIVERGED, "not finite"),
        (epochs((2.0, 0.3), (float("inf"), 0.3)), Outcome.DIVERGED, "epoch 2 is not finite"),
        (epochs((2.0, 0.3), (6.5, 0.1)), Outcome.DIVERGED, "grew from 2 to 6.5"),
        (epochs((4.0, 0.0), (3.99, 0.0)), Outcome.TRAINED, "does not learn"),
    ],
)
def test_what_goes_wrong_is_stopped(measured, outcome, words):
    stop = gone_wrong(measured)
    assert stop is not None and stop.outcome is outcome and words in stop.reason


@pytest.mark.parametrize(
    "measured",
    [
        epochs((4.0, 0.0)),  # one epoch may pass without anything learned
        epochs((4.0, 0.0), (3.5, 0.0)),  # the loss moves
        epochs((4.0, 0.1), (4.0, 0.1)),  # the metric says that something is known
        epochs((2.0, 0.3), (5.9, 0.2)),  # worse, but not yet on its way to infinity
    ],
)
def test_what_may_still_learn_goes_on(measured):
    assert gone_wrong(measured) is None


def run(pruner: str, curves: list[list[float]]) -> list[int]:
    """How many epochs each of the curves is given, one candidate after the other."""
    pruning, given = Pruning(pruner), []
    for index, curve in enumerate(curves):
        measured = epochs(*((1.0, value) for value in curve))
        ran = 0
        for epoch in measured:
            ran += 1
            if pruning.report(index, epoch):
                break
        pruning.ended(index, measured[:ran], stopped=ran < len(curve))
        given.append(ran)
    return given


GOOD, BAD = [0.3, 0.5, 0.6], [0.05, 0.06, 0.07]


def test_the_median_rule_stops_the_worse_half_from_the_fifth_on():
    assert run("median", [GOOD, BAD, GOOD, GOOD, BAD, GOOD]) == [3, 3, 3, 3, 1, 3]


def test_halving_stops_what_others_leave_behind():
    given = run("halving", [GOOD, BAD, GOOD, BAD, GOOD, BAD])
    assert given[0] == 3 and min(given[1::2]) == 1


def test_without_a_pruner_every_candidate_has_the_same_budget():
    assert run("none", [GOOD, BAD] * 4) == [3] * 8


def test_a_resumed_run_prunes_by_what_was_trained_before():
    pruning = Pruning("median")
    for index in range(4):
        pruning.ended(index, epochs(*((1.0, value) for value in GOOD)), stopped=False)
    assert pruning.report(4, epochs((1.0, BAD[0]))[0]) is not None


def test_an_unknown_pruner_is_refused():
    with pytest.raises(UsageError, match="known: none, median, halving"):
        Pruning("axe")
