"""The dynamic half of the contract: sound Nets pass, each defect is caught by its rule, and reports say what they should."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from defects_dynamic import DEFECTS, LSTM, SOUND, TRANSFORMER, Defect
from lemur_caption.candidate import Outcome
from lemur_caption.contract import get_rule
from lemur_caption.contract.dynamic.rules import RULES
from lemur_caption.contract.sandbox import Limits
from lemur_caption.contract.validator import ValidatorPool, validate
from lemur_caption.errors import UsageError

# Source rules that would refuse some of the defects before they run.
SOURCE = ("LC1", "LC60")
# These say how the process of a Net ended; tests/hostile_nets.py has a Net for each.
ENDINGS = {"LC691", "LC692", "LC693", "LC694"}


@pytest.fixture(scope="module")
def pool() -> Iterator[ValidatorPool]:
    with ValidatorPool() as pool:
        yield pool


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("profile", ["strict", "lenient"])
def test_a_sound_net_has_no_findings(pool: ValidatorPool, name: str, profile: str) -> None:
    report = pool.validate(SOUND[name], profile=profile)
    assert report.findings == []
    assert report.ok and report.outcome is None
    assert set(report.stages) == {"source", "build", "shapes", "training", "meaning"}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.rule}-{defect.name.replace(' ', '-')}")
def test_each_defect_is_caught_by_its_rule(pool: ValidatorPool, defect: Defect) -> None:
    report = pool.validate(defect.source, ignore=SOURCE)
    assert defect.rule in [finding.rule for finding in report.findings]
    if get_rule(defect.rule).severity == "error":
        assert report.outcome is Outcome.CONTRACT and not report.ok
    else:
        assert report.ok


def test_the_defects_cover_every_rule() -> None:
    assert {defect.rule for defect in DEFECTS} == {rule.id for rule in RULES} - ENDINGS
    assert len(DEFECTS) >= 75
    assert len({defect.source for defect in DEFECTS}) == len(DEFECTS)


def test_a_finding_points_at_the_innermost_line_of_the_net(pool: ValidatorPool) -> None:
    source = LSTM.replace("self.first(memory.mean(dim=1))", "self.first(memory.flatten(1))")
    line = 1 + next(i for i, text in enumerate(source.splitlines()) if "memory.flatten(1)" in text)
    report = pool.validate(source)
    assert ("LC301", line) in [(finding.rule, finding.line) for finding in report.findings]
    assert "mat1 and mat2" in report.findings[0].message


def test_independent_defects_are_reported_together(pool: ValidatorPool) -> None:
    source = LSTM.replace("nn.CrossEntropyLoss(ignore_index=PAD)", "nn.CrossEntropyLoss()")
    source = source.replace("            return logits, hidden_state\n", "            return logits\n")
    source = source.replace("            token = token.masked_fill(ended, PAD)\n", "")
    assert {"LC206", "LC303", "LC508"} <= {finding.rule for finding in pool.validate(source).findings}


def test_select_and_ignore_choose_what_is_reported(pool: ValidatorPool) -> None:
    source = LSTM.replace("nn.CrossEntropyLoss(ignore_index=PAD)", "nn.CrossEntropyLoss()")
    assert {f.rule for f in pool.validate(source).findings} == {"LC206", "LC505"}
    assert [f.rule for f in pool.validate(source, select=["LC2"]).findings] == ["LC206"]
    assert pool.validate(source, ignore=["LC206", "LC505"]).ok


def test_an_error_in_the_text_starts_no_process() -> None:
    report = validate("def broken(:\n    pass\n")
    assert report.outcome is Outcome.SYNTAX
    assert report.protections == {} and list(report.stages) == ["source"]


def test_static_only_runs_nothing() -> None:
    report = validate("raise SystemExit\n" + LSTM, static_only=True, ignore=["LC1"])
    assert report.ok and list(report.stages) == ["source"]


def test_bytes_are_taken_as_utf_8(pool: ValidatorPool) -> None:
    assert pool.validate(b"\xef\xbb\xbf" + LSTM.encode()).ok


def test_the_time_limit_names_the_stage(pool: ValidatorPool) -> None:
    source = LSTM.replace("        self.train()\n", "        self.train()\n        while True:\n            pass\n")
    report = pool.validate(source, timeout_s=2.5)
    assert report.outcome is Outcome.TIMEOUT
    (finding,) = report.findings
    assert finding.rule == "LC692" and "2.5 s" in finding.message and "training stage" in finding.message


def test_the_parameter_budget_can_be_set(pool: ValidatorPool) -> None:
    report = pool.validate(TRANSFORMER, limits=Limits(parameters=10_000))
    assert "LC203" in [finding.rule for finding in report.findings]


def test_lenient_takes_what_lemur_runs(pool: ValidatorPool) -> None:
    logits_alone = LSTM.replace("            return logits, hidden_state\n", "            return logits\n")
    loss_alone = LSTM.replace("return hits / max(count, 1), total / max(batches, 1)", "return total / max(batches, 1)")
    forward_loss = LSTM.replace(
        "            return logits, hidden_state\n",
        "            return F.cross_entropy(logits.flatten(0, 1), captions[:, 1:].flatten(), ignore_index=PAD)\n",
    )
    for source in (logits_alone, loss_alone, forward_loss):
        assert not pool.validate(source).ok
        report = pool.validate(source, profile="lenient")
        assert report.ok, report.findings


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("LC402", "return hits / max(count, 1), total / max(batches, 1)", "return None"),
        ("LC403", "total / max(batches, 1)", "float('nan')"),
        ("LC308", "for _ in range(MAX_LENGTH):", "while True:"),
        ("LC405", "            self.optimizer.step()\n", ""),
    ],
)
def test_lenient_still_asks_for_finite_bounded_training(pool: ValidatorPool, rule: str, old: str, new: str) -> None:
    report = pool.validate(LSTM.replace(old, new), profile="lenient", ignore=SOURCE)
    assert rule in [finding.rule for finding in report.findings]


def test_a_net_that_returns_scores_is_sound(pool: ValidatorPool) -> None:
    source = LSTM.replace("            out.append(token)\n", "            out.append(logits)\n")
    report = pool.validate(source)
    assert report.ok, report.findings


def test_the_verdict_does_not_depend_on_the_nets_before(pool: ValidatorPool) -> None:
    spoiler = "torch.set_default_dtype(torch.float64)\nnn.Linear.forward = None\n"
    assert not pool.validate(LSTM.replace("MAX_LENGTH = 20\n", "MAX_LENGTH = 20\n" + spoiler), ignore=SOURCE).ok
    assert pool.validate(LSTM).ok


def test_an_unknown_profile_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="profile"):
        validate(LSTM, profile="loose")  # type: ignore[arg-type]  # the error is the point
