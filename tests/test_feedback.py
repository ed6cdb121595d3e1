"""Feedback: what trained well comes back, what went wrong is said, and the same past gives the same plan."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest

from lemur_caption.architecture import Design, baseline_design, default_design, json_schema, random_design
from lemur_caption.architecture.space import choices
from lemur_caption.candidate import Candidate, Epoch, Outcome
from lemur_caption.errors import UsageError
from lemur_caption.search.feedback import POLICIES, Finished, Policy, get_policy
from lemur_caption.search.feedback.archive import cell, elites
from lemur_caption.search.feedback.avoid import LONGEST, avoid_lines
from lemur_caption.search.feedback.effects import draw_effects

STEERED = [name for name in POLICIES if name != "none"]


def trained(index: int, reached: float, design: Design | None = None, **fields: Any) -> Finished:
    candidate = Candidate(f"C5C-Net-{index}", "C5C-Net", f"source {index}", parameters=500_000, **fields)
    candidate.design = None if design is None else design.model_dump(mode="json")
    candidate.finish(Outcome.TRAINED, "", [Epoch(1, reached, None, None, 1.0)])
    return index, candidate


def failed(index: int, outcome: Outcome, *findings: dict[str, Any], design: Design | None = None) -> Finished:
    candidate = Candidate(f"C5C-Net-{index}", "C5C-Net", "", findings=list(findings))
    candidate.design = None if design is None else design.model_dump(mode="json")
    candidate.end(outcome)
    return index, candidate


def past(count: int, seed: int = 1) -> list[Finished]:
    rng = random.Random(seed)
    return [trained(index, rng.uniform(0.3, 0.6), random_design(rng)) for index in range(count)]


def completions(plan: Any) -> list[dict[str, Any]]:
    """Every design that the language model may answer to a plan that leaves it at most a few values."""
    fields = {name: value if isinstance(value, tuple) else (value,) for name, value in plan.pinned.items()}
    combinations = itertools.product(*fields.values())
    return [Design(**dict(zip(fields, values, strict=True))).model_dump(mode="json") for values in combinations]


def exploiting(policy: Policy, finished: list[Finished], start: int = 100) -> Any:
    """The first plan from `start` on that builds on the past."""
    return next(plan for plan in (policy.plan(index, finished) for index in range(start, start + 200)) if plan.parents)


@pytest.mark.parametrize("name", POLICIES)
def test_a_plan_depends_on_seed_index_and_the_set_alone(name: str) -> None:
    finished = past(9)
    plans = [get_policy(name, seed=3).plan(index, finished) for index in range(9, 40)]
    again = get_policy(name, seed=3)
    assert [again.plan(index, reversed(finished)) for index in reversed(range(9, 40))] == plans[::-1]
    if name != "none":
        assert [get_policy(name, seed=4).plan(index, finished) for index in range(9, 40)] != plans


def test_no_feedback_is_independent_sampling() -> None:
    policy = get_policy("none")
    finished = [*past(9), failed(9, Outcome.CONTRACT, {"rule": "LC301", "hint": "Return logits."})]
    plan = policy.plan(10, finished)
    assert plan == policy.plan(0, [])
    assert plan.exploration and not (plan.parents or plan.baseline or plan.examples or plan.avoid or plan.pinned)


@pytest.mark.parametrize("name", STEERED)
def test_the_share_of_exploration_falls(name: str) -> None:
    finished = past(4)
    shares = []
    for index in (0, 1, 4, 7, 30):
        plans = [get_policy(name, seed, candidates=16).plan(index, finished) for seed in range(200)]
        shares.append(sum(plan.exploration for plan in plans) / 200)
    assert 0.15 < shares[0] < 0.35 and shares[0] > shares[2] > shares[3] and shares[4] < 0.12, shares


@pytest.mark.parametrize("name", STEERED)
def test_where_nothing_has_trained_nothing_is_built_on(name: str) -> None:
    few = [failed(0, Outcome.CONTRACT, {"rule": "LC301", "hint": "Return logits."})]
    for index in range(50):
        plan = get_policy(name).plan(index, few)
        assert plan.exploration and not plan.parents and not plan.pinned
        assert plan.avoid == ("Return logits.",)


@pytest.mark.parametrize("name", STEERED)
def test_the_baseline_is_the_first_parent(name: str) -> None:
    design = baseline_design("CaptionLSTM", "pocket", 0.001, 0.9)
    assert design is not None
    plan = exploiting(get_policy(name), [trained(-1, 0.6, design)])
    assert plan.parents == (-1,) and plan.baseline is not None and plan.baseline.score == 0.6
    kept = plan.pinned.items() & design.model_dump(mode="json").items()
    assert len(kept) >= len(choices("pocket")) - 7, "a step of at most three changed and three open fields"


def test_a_step_leads_to_a_design_that_is_new() -> None:
    design = default_design().model_dump(mode="json")
    finished, policy = [trained(0, 0.6, default_design())], get_policy("effects")
    plans = [plan for index in range(60) if (plan := policy.plan(index + 10, finished, [design])).pinned]
    assert len(plans) > 40
    answers = [answer for plan in plans for answer in completions(plan)]
    assert len(answers) > 1.5 * len(plans), "the model has a say"
    assert all(0 < sum(answer[name] != design[name] for name in design) <= 4 for answer in answers), "a small step"
    # What has been tried since is left alone, in training or not.
    tried = answers[:20]
    again = [plan for index in range(60) if (plan := policy.plan(index + 10, finished, [design, *tried])).pinned]
    assert not any(answer in tried for plan in again for answer in completions(plan))


@pytest.mark.parametrize("name", STEERED)
def test_what_is_built_on(name: str) -> None:
    finished = past(8)
    scores = {index: candidate.epochs[-1].accuracy for index, candidate in finished}
    plan = exploiting(get_policy(name), finished)
    (parent,) = plan.parents
    assert plan.baseline == (f"C5C-Net-{parent}", f"source {parent}", scores[parent])
    assert [value for _, value in plan.examples] == [elite.score for elite in elites(finished)[:3]]
    assert "encoder" in plan.examples[0][0] and "lr 0.00" in plan.examples[0][0]
    # The schema of pinned fields is one of designs, and leaves the language model something to say.
    schema = json_schema("pocket", plan.pinned)["properties"]
    open_fields = [field for field, choice in schema.items() if len(choice["enum"]) > 1]
    assert len(open_fields) <= 2, open_fields
    Design(**{field: choice["enum"][0] for field, choice in schema.items()})


def test_the_archive_keeps_the_parents_other_fields() -> None:
    finished = past(8)
    plan = exploiting(get_policy("archive"), finished)
    design = finished[plan.parents[0]][1].design
    assert design is not None and plan.pinned.items() <= design.items()


@pytest.mark.parametrize("name", STEERED)
def test_designs_recorded_before_a_field_was_added_are_built_on(name: str) -> None:
    finished = past(8)
    for _, candidate in finished:
        assert candidate.design is not None
        del candidate.design["resolution"]
    plans = [get_policy(name, seed).plan(100, finished) for seed in range(30)]
    given = [plan.pinned["resolution"] for plan in plans if "resolution" in plan.pinned]
    pinned = [value for values in given for value in (values if isinstance(values, tuple) else (values,))]
    assert pinned and set(pinned) <= ({"coarse"} if name == "archive" else {"coarse", "fine"})


def test_better_nets_have_more_children() -> None:
    finished = [trained(0, 0.6, default_design()), *past(5)[1:]]
    finished = [finished[0], *((i, c) for i, c in finished[1:] if c.epochs[-1].accuracy < 0.6)]
    best = elites(finished)
    plans = [get_policy("archive", seed).plan(50, finished) for seed in range(300)]
    counts = [sum(plan.parents == (elite.index,) for plan in plans) for elite in best]
    assert counts == sorted(counts, reverse=True) and counts[0] > 3 * counts[-1], counts
    assert sum(count > 0 for count in counts) >= 2, f"others have some too: {counts}"


def test_an_elite_of_every_kind_survives() -> None:
    lstm = default_design()
    gru = Design(**(lstm.model_dump() | {"decoder": "gru"}))
    vit = Design(**(lstm.model_dump() | {"block": "vit"}))
    finished = [
        trained(0, 0.5, lstm),
        trained(1, 0.6, lstm),
        trained(2, 0.6, lstm),
        trained(3, 0.1, gru),
        trained(4, 0.2, vit),
    ]
    finished += [failed(5, Outcome.DIVERGED, design=vit), trained(6, float("nan"), vit)]
    assert [(elite.index, elite.score) for elite in elites(finished)] == [(1, 0.6), (4, 0.2), (3, 0.1)]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("class Net:\n    part = nn.LSTM(8, 8), nn.Conv2d(3, 8, 3)\n", ("lstm", "convolution")),
        (
            "class Net:\n    part = nn.TransformerDecoder(x), nn.Conv2d(8, 8, 3, groups=8), nn.SiLU()\n",
            ("transformer", "mbconv"),
        ),
        ("class ResidualLSTM: ...\nclass Net:\n    part = ResidualLSTM()\n", ("other", "other")),
        ("", ("other", "other")),
    ],
)
def test_a_net_without_a_design_has_a_kind(source: str, kind: tuple[str, str]) -> None:
    candidate = Candidate("a", "a", source)
    assert cell(candidate) == (*kind, -1)
    candidate.parameters = 600_000
    assert cell(candidate) == (*kind, 19)
    candidate.parts = {"decoder": "gru", "encoder": "dense"}
    assert cell(candidate) == ("gru", "dense", 19), "what ran says more than what is written"


@pytest.mark.parametrize("name", STEERED)
def test_code_has_a_parent_and_no_pins(name: str) -> None:
    finished = [trained(index, index / 4, None) for index in range(4)]
    plan = exploiting(get_policy(name), finished)
    assert plan.baseline is not None and not plan.pinned
    assert plan.examples[0] == ("C5C-Net-3", 0.75)


def test_avoid_lines_name_what_is_frequent_and_recent() -> None:
    def finding(rule: str, **more: Any) -> dict[str, Any]:
        return {"rule": rule, "message": "m", "hint": f"hint of {rule}", "severity": "error", **more}

    old = [failed(index, Outcome.CONTRACT, finding("LC101")) for index in range(20)]
    new = [failed(20 + index, Outcome.CONTRACT, finding(f"LC20{index % 7}"), finding("LC301")) for index in range(12)]
    warned = failed(32, Outcome.CONTRACT, finding("LC999", severity="warning"))
    lines = avoid_lines([*old, *new])
    assert lines == ("hint of LC301", "hint of LC204", "hint of LC203", "hint of LC202", "hint of LC201")
    assert "hint of LC999" not in avoid_lines([*new, warned])
    long = avoid_lines([failed(0, Outcome.CONTRACT, finding("LC101", hint="word " * 100))])
    assert len(long[0]) <= LONGEST and long[0].endswith("word…")
    assert avoid_lines([]) == ()


def test_effects_find_the_value_that_counts() -> None:
    fields = choices("pocket")
    rng = random.Random(2)
    designs = [random_design(rng).model_dump(mode="json") for _ in range(60)]
    scores = [0.5 + 0.1 * (design["decoder"] == "gru") - 0.1 * (design["lr"] == "0.003") for design in designs]
    drawn = [draw_effects(designs, scores, fields, random.Random(seed)) for seed in range(20)]
    assert all(max(effects["decoder"], key=effects["decoder"].__getitem__) == "gru" for effects in drawn)
    assert all(min(effects["lr"], key=effects["lr"].__getitem__) == "0.003" for effects in drawn)
    # Of what was never tried, nothing is known: every draw is another.
    empty = [draw_effects([], [], fields, random.Random(seed))["block"]["vit"] for seed in range(20)]
    assert statistics.stdev(empty) > 0.1
    same = draw_effects(designs[:5], [0.4] * 5, fields, random.Random(0))
    assert set(same) == set(fields)


def test_a_design_that_fails_in_training_counts_as_the_worst() -> None:
    from lemur_caption.search.feedback.policies import _experience

    good, bad = default_design(), Design(**(default_design().model_dump() | {"lr": "0.003"}))
    finished = [trained(0, 0.5, good), trained(1, 0.3, good), failed(2, Outcome.DIVERGED, design=bad)]
    finished.append(failed(3, Outcome.TIMEOUT, {"rule": "LC692", "hint": "h"}, design=bad))
    designs, scores = _experience(finished, "pocket")
    assert scores == [0.5, 0.3, 0.3] and designs[2]["lr"] == "0.003", "what the contract stopped never trained"


def simulated(name: str, seed: int, landscape: Callable[[dict[str, Any]], float]) -> float:
    """The best score of a search of 24 candidates whose language model answers at random."""
    policy, rng, finished = get_policy(name, seed, candidates=24), random.Random(seed), []
    for index in range(24):
        plan = policy.plan(index, finished)
        schema = json_schema("pocket", plan.pinned)["properties"]
        design = Design(**{field: rng.choice(choice["enum"]) for field, choice in schema.items()})
        finished.append(trained(index, landscape(design.model_dump()) + rng.gauss(0, 0.02), design))
    return max(landscape(candidate.design or {}) for _, candidate in finished)


def test_effects_beat_independent_sampling_where_fields_matter() -> None:
    def landscape(design: dict[str, Any]) -> float:
        rng = random.Random(0)
        weights = {(name, value): rng.gauss(0, 0.03) for name, values in choices("pocket").items() for value in values}
        return 0.4 + sum(weights[item] for item in design.items())

    means = {
        name: statistics.mean(simulated(name, seed, landscape) for seed in range(12)) for name in ("none", "effects")
    }
    assert means["effects"] > means["none"] + 0.02, means


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match=r"unknown feedback `all`.*none, archive, effects"):
        get_policy("all")
    with pytest.raises(UsageError, match="schedule"):
        get_policy("archive", candidates=0)
