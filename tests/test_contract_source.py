"""The source rules: every defect is told by its rule alone, sound Nets by none, and no text can harm the checker."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable

import jsonschema
import pytest

from defects_source import DEFECTS, replace
from lemur_caption.candidate import Outcome
from lemur_caption.contract import RULES, ContractReport, Finding, Rule, check_source, get_rule, outcome_of
from lemur_caption.contract.formats import FORMATS, format_github, format_json, format_sarif, format_text
from lemur_caption.contract.registry import wanted
from lemur_caption.contract.source_rules import RULES as SOURCE_RULES
from lemur_caption.errors import UsageError
from sound_net import SOUND_NET


def rules_of(findings: Iterable[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


def test_the_sound_net_has_no_finding_in_either_profile():
    assert check_source(SOUND_NET) == []
    assert check_source(SOUND_NET.encode(), profile="lenient") == []
    assert check_source(SOUND_NET.replace("\n", "\r\n")) == []
    assert check_source(b"\xef\xbb\xbf" + SOUND_NET.encode()) == []


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_caught_by_its_rule_and_no_other(name):
    rule, change = DEFECTS[name]
    findings = check_source(change(SOUND_NET))
    assert rules_of(findings) == {rule}, f"{name}: {[(f.rule, f.line, f.message) for f in findings]}"
    assert all(finding.hint and "{" not in finding.message for finding in findings if rule != "LC105")


def test_every_source_rule_has_a_defect():
    assert {rule.id for rule in SOURCE_RULES} == {rule for rule, _ in DEFECTS.values()}
    assert len(DEFECTS) >= 45


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("cut_off", Outcome.SYNTAX), ("no_learn", Outcome.CONTRACT), ("import_os", Outcome.UNSAFE), ("pretrained", None)],
)
def test_the_outcome_follows_from_the_findings(name, outcome):
    findings = check_source(DEFECTS[name][1](SOUND_NET))
    report = ContractReport.of(findings)
    assert report.outcome is outcome_of(findings) is outcome
    assert report.ok == (outcome is None)


def test_an_unsafe_net_is_unsafe_whatever_else_is_wrong():
    findings = check_source("import os\n")
    assert rules_of(findings) >= {"LC102", "LC601"}
    assert outcome_of(findings) is Outcome.UNSAFE


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("self_attention_layer", "nn.SelfAttention(WIDTH, 4)"),
        ("lstm_hidden_dim", "hidden_dim=64"),
        ("import_os", "os"),
        ("open_file", "open('log.txt', 'a')"),
        ("misspelt_attribute", "self.heads(hidden)"),
        ("undefined_variable", "input_ids"),
        ("import_invented_layer", "SelfAttention"),
        ("weights_text", "weights='IMAGENET1K_V1'"),
    ],
)
def test_a_finding_points_at_its_place(name, text):
    source = DEFECTS[name][1](SOUND_NET)
    (finding,) = check_source(source)
    line = source.splitlines()[finding.line - 1]
    assert line[finding.column - 1 :].startswith(text), f"{line!r} at column {finding.column}"


def test_columns_count_characters_not_bytes():
    source = replace(
        "self.device = device\n", "self.note, self.act = 'größe — 大', nn.Gelu()\n        self.device = device\n"
    )(SOUND_NET)
    (finding,) = check_source(source)
    assert source.splitlines()[finding.line - 1][finding.column - 1 :].startswith("nn.Gelu()")


def test_hints_tell_what_to_use_instead():
    (finding,) = check_source(DEFECTS["self_attention_layer"][1](SOUND_NET))
    assert "MultiheadAttention" in finding.hint
    (finding,) = check_source(DEFECTS["lstm_hidden_dim"][1](SOUND_NET))
    assert "hidden_size" in finding.hint


HARMLESS = {
    "import under try": "try:\n    from torch.nn import RMSNorm2d\nexcept ImportError:\n    RMSNorm2d = None\n",
    "call under hasattr": "def f(x):\n    if hasattr(torch, 'fancy'):\n        return torch.fancy(x)\n    return x\n",
    "name shadowed": "def f(nn):\n    return nn.Anything(1, 2, 3)\n",
    "rebound module": "def f(x):\n    F = x\n    return F.nothing_like_this()\n",
    "future local": "def f():\n    g()\n\n\ndef g():\n    return Later\n\n\nclass Later:\n    pass\n",
    "star arguments": "def f(a, k):\n    return nn.Linear(*a), nn.LSTM(**k), nn.Linear(3, **k)\n",
    "aliases of compiled functions": "def f(x):\n    return torch.sum(x, axis=1, keepdims=True), torch.softmax(x, axis=-1)\n",
    "factories": "def f(d):\n    return torch.zeros(2, 3, device=d, dtype=torch.long), torch.randn((2,), requires_grad=True)\n",
    "tuple of indices": "def f(x):\n    return torch.nonzero(x, as_tuple=True)\n",
    "pooling with indices": "def f(x):\n    return F.max_pool2d(x, 2, return_indices=True)\n",
    "submodule not imported": "def f(m, x):\n    return torch.utils.checkpoint.checkpoint(m, x, use_reentrant=False)\n",
    "switches": "def f():\n    torch.backends.cudnn.benchmark = True\n",
    "dynamic attributes": "class A(nn.Module):\n    def f(self):\n        setattr(self, 'a' + 'b', 1)\n        return self.ab\n",
    "attribute of a subclass": "class A(nn.Module):\n    def f(self):\n        return self.size\n\n\n"
    "class B(A):\n    def __init__(self):\n        super().__init__()\n        self.size = 3\n",
    "attribute from outside": "class A:\n    def f(self):\n        return self.size\n\n\ndef g(a):\n    a.size = 3\n",
    "registered parameter": "class A(nn.Module):\n    def f(self):\n        self.register_parameter('w', None)\n"
    "        return self.w\n",
    "ordinary dunders": "def f(x):\n    return type(x).__name__, x.__class__.__name__, x.__len__()\n",
    "own function named compile": "def compile(x):\n    return x\n\n\ndef f(x):\n    return compile(x)\n",
    "main": "if __name__ == '__main__':\n    print(Net)\n",
    "constants": "SIZES = (1, 2)\nTable = torch.Tensor\nHALF: float = math.pi / 2\n",
    "weights chosen elsewhere": "def f(weights):\n    return models.resnet18(weights=weights)\n",
    "legacy call of torchvision": "def f():\n    return models.resnet18(False)\n",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_code_is_not_reported(name):
    findings = check_source(SOUND_NET + "\n\n" + HARMLESS[name])
    assert findings == [], [(f.rule, f.line, f.message) for f in findings]


def test_defects_in_code_that_nothing_reaches_are_warnings():
    helper = "\n\ndef helper(x):\n    return nn.SelfAttention(x)\n"
    (unreached,) = check_source(SOUND_NET + helper)
    (reached,) = check_source(replace("self.train()", "self.train()\n        helper(1)")(SOUND_NET) + helper)
    assert (unreached.rule, unreached.severity) == ("LC111", "warning")
    assert (reached.rule, reached.severity) == ("LC111", "error")
    assert ContractReport.of([unreached]).ok and not ContractReport.of([reached]).ok


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("if mode == 'sync':\n            nn.SyncBatchNorm2d(8)", "warning"),
        ("if mode in ('a', 'b'):\n            nn.SyncBatchNorm2d(8)", "warning"),
        ("if mode != 'sync':\n            nn.SyncBatchNorm2d(8)", "error"),
        ("if mode == 3:\n            nn.SyncBatchNorm2d(8)", "error"),
        ("if mode == 'sync':\n            pass\n        else:\n            nn.SyncBatchNorm2d(8)", "error"),
        ("try:\n            pass\n        except RuntimeError:\n            nn.SyncBatchNorm2d(8)", "warning"),
        ("try:\n            nn.SyncBatchNorm2d(8)\n        except RuntimeError:\n            pass", "error"),
    ],
)
def test_a_mode_that_a_run_need_not_ask_for_gives_a_warning(code, severity):
    change = replace("        self.device = device\n", f"        self.device = mode = device\n        {code}\n")
    (finding,) = check_source(change(SOUND_NET))
    assert (finding.rule, finding.severity) == ("LC111", severity)


def test_a_safety_finding_stays_an_error_where_nothing_reaches_it():
    (finding,) = check_source(SOUND_NET + "\n\ndef helper():\n    return open('x')\n")
    assert (finding.rule, finding.severity) == ("LC602", "error")


LENIENT = {
    "print_at_import": set(),
    "import_lemur": set(),
    "forward_without_hidden_state": set(),
    "hyperparameters_one_more": set(),
    "hyperparameters_as_list": set(),
    "hyperparameters_docstring_first": set(),
    "momentum_unused": {("LC106", "warning")},
    "no_learn": {("LC103", "error")},
    "forward_requires_captions": {("LC104", "error")},
    "no_hyperparameters": {("LC105", "error")},
    "import_os": {("LC601", "error")},
}


@pytest.mark.parametrize("name", LENIENT)
def test_the_lenient_profile_asks_what_lemur_needs(name):
    findings = check_source(DEFECTS[name][1](SOUND_NET), profile="lenient")
    assert {(finding.rule, finding.severity) for finding in findings} == LENIENT[name]


def test_select_and_ignore_take_ids_and_prefixes():
    source = DEFECTS["import_os"][1](DEFECTS["momentum_unused"][1](SOUND_NET))
    assert rules_of(check_source(source)) == {"LC106", "LC601"}
    assert rules_of(check_source(source, select=["LC6"])) == {"LC601"}
    assert rules_of(check_source(source, ignore=["LC601"])) == {"LC106"}
    assert rules_of(check_source(source, select=["LC1"], ignore=["LC106"])) == set()
    assert rules_of(check_source("(", select=["LC6"])) == {"LC101"}


@pytest.mark.parametrize(
    ("rule", "select", "ignore", "expected"),
    [
        ("LC304", None, None, True),
        ("LC304", None, ["LC3"], False),
        ("LC304", ["LC3"], ["LC304"], False),
        ("LC304", ["LC304"], ["LC3"], True),
        ("LC304", ["LC304"], ["LC304"], False),
        ("LC304", ["LC1"], None, False),
        ("LC304", [], None, False),
    ],
)
def test_the_longer_prefix_wins(rule, select, ignore, expected):
    assert wanted(rule, select, ignore) is expected


@pytest.mark.parametrize("wrong", [{"select": ["LC9"]}, {"ignore": ["E501"]}, {"profile": "loose"}])
def test_wrong_use_is_a_usage_error(wrong):
    with pytest.raises(UsageError):
        check_source(SOUND_NET, **wrong)


class NoBatchNorm:
    rule = Rule("XY101", "no-batch-norm", "source", "error", "Small batches.", "{name} is used", "Use nn.GroupNorm.")

    def check(self, tree: ast.Module, source: str) -> Iterable[Finding]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "BatchNorm2d":
                yield self.rule.finding(node.lineno, node.col_offset + 1, name=ast.unparse(node))


def test_rules_of_other_packages_take_part():
    source = replace("nn.GroupNorm(4, 16)", "nn.BatchNorm2d(16)")(SOUND_NET)
    (finding,) = check_source(source, extra_rules=[NoBatchNorm()])
    assert (finding.rule, finding.message) == ("XY101", "nn.BatchNorm2d is used")
    assert check_source(source, extra_rules=[NoBatchNorm()], ignore=["XY"]) == []
    assert check_source(SOUND_NET, extra_rules=[NoBatchNorm()], select=["XY101"]) == []


def test_deep_text_is_reported_also_where_the_stack_is_nearly_spent():
    source = SOUND_NET + "X = " + "(1 + " * 60 + "1" + ")" * 60 + "\n"
    assert check_source(source) == []

    def deep(left: int) -> list[Finding]:
        return check_source(source) if left == 0 else deep(left - 1)

    depth = sys.getrecursionlimit() - len(_frames()) - 120
    assert rules_of(deep(depth)) <= {"LC101"}


def _frames() -> list[object]:
    frames: list[object] = []
    frame = sys._getframe()
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def test_rules_are_complete_objects():
    assert list(RULES) == sorted(RULES)
    for rule in SOURCE_RULES:
        assert re.fullmatch(r"LC[16]\d\d", rule.id)
        assert rule.rationale.endswith(".") and rule.hint.endswith(".")
        assert rule.example_bad and rule.example_good
        assert rule.page().startswith(f"# {rule.id} {rule.name}\n") and rule.hint in rule.page()
    assert get_rule("lc101") is RULES["LC101"]
    with pytest.raises(UsageError, match="LC999"):
        get_rule("LC999")


@pytest.mark.parametrize("field", [{"stage": "sources"}, {"severity": "fatal"}])
def test_a_rule_with_an_unknown_stage_or_severity_is_refused(field):
    values = {"id": "XY1", "name": "n", "stage": "source", "severity": "error"} | field
    with pytest.raises(ValueError, match="XY1"):
        Rule(**values, rationale="r", message="m", hint="h")


@pytest.fixture
def reports():
    odd = Finding("LC111", "50% of it: a,b\nc", "Use another.", 3, 5)
    warning = Finding("LC605", "pretrained=True downloads weights", "Use weights=None.", 7, 2, "warning")
    nowhere = Finding("LC101", "the file is empty", "Answer with code.")
    return {
        "a b,c.py": ContractReport.of([odd, warning]),
        "empty.py": ContractReport.of([nowhere]),
        "sound.py": ContractReport.of([]),
    }


def test_text_is_a_linters(reports):
    lines = format_text(reports).splitlines()
    assert lines[0].startswith("a b,c.py:3:5 LC111 50% of it")
    assert "a b,c.py:7:2 LC605 warning: pretrained=True downloads weights" in lines
    assert "empty.py LC101 the file is empty" in lines
    assert "    hint: Answer with code." in lines
    assert "sound.py" not in format_text(reports)


def test_json_lists_every_file(reports):
    files = json.loads(format_json(reports))
    assert [(f["file"], f["ok"], f["outcome"]) for f in files] == [
        ("a b,c.py", False, "contract"),
        ("empty.py", False, "syntax"),
        ("sound.py", True, None),
    ]
    assert files[0]["findings"][0].items() >= {"rule": "LC111", "line": 3, "column": 5, "hint": "Use another."}.items()


def test_github_annotations_are_escaped(reports):
    lines = format_github(reports).splitlines()
    assert len(lines) == 3
    assert lines[0] == ("::error file=a b%2Cc.py,line=3,col=5,title=LC111::50%25 of it: a,b%0Ac. Use another.")
    assert lines[1].startswith("::warning file=a b%2Cc.py,line=7,col=2,title=LC605::")
    assert lines[2].startswith("::error file=empty.py,title=LC101::")


# The part of the SARIF 2.1.0 schema that the log uses, with its constraints.
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "$schema": {"type": "string", "format": "uri"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {"required": ["name"], "properties": {"rules": {"uniqueItems": True}}}
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "required": ["message"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"required": ["text"]},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                            },
                        },
                    },
                },
            },
        },
    },
}


def test_sarif_names_rules_and_places(reports):
    log = json.loads(format_sarif(reports))
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == ["LC111", "LC605", "LC101"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "a%20b%2Cc.py"}, "region": {"startLine": 3, "startColumn": 5}}
    assert "region" not in run["results"][2]["locations"][0]["physicalLocation"]


def test_sarif_describes_only_rules_it_knows():
    report = ContractReport.of([Finding("XY101", "m", "h", 1, 1)])
    described = {"XY101": NoBatchNorm.rule}
    rules = [
        json.loads(format_sarif({"n.py": report}, r))["runs"][0]["tool"]["driver"]["rules"] for r in ({}, described)
    ]
    assert rules[0] == [{"id": "XY101"}]
    assert rules[1][0]["help"]["text"] == "Use nn.GroupNorm."


def test_every_format_is_registered():
    assert set(FORMATS) == {"text", "json", "sarif", "github"}
