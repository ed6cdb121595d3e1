"""Duplicates: what only reads differently is found, by the level that should; what trains differently never is."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from lemur_caption.architecture import Design, default_design, random_design, render
from lemur_caption.architecture.space import choices
from lemur_caption.errors import UsageError
from lemur_caption.search.duplicates import DuplicateFinder
from lemur_caption.search.duplicates.syntax import normal_form
from lemur_caption.search.duplicates.text import signature, similarity, tokens

NETS = Path(__file__).parent.parent / "src" / "lemur_caption" / "lemur_files" / "nn"
SOURCE = render(default_design())


@functools.cache
def fingerprint_of(source: str) -> str | None:
    from lemur_caption.contract.dynamic.fingerprint import fingerprint
    from lemur_caption.contract.dynamic.probe import Probe, load

    probe = Probe(source)
    probe.module = load(source)
    return fingerprint(probe)


def renamed(**names: str) -> Callable[[str], str]:
    def rewrite(source: str) -> str:
        for old, new in names.items():
            source = re.sub(rf"\b{old}\b", new, source)
        return source

    return rewrite


def on_tree(change: Callable[[ast.AST], None]) -> Callable[[str], str]:
    def rewrite(source: str) -> str:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            change(node)
        return ast.unparse(ast.fix_missing_locations(tree))

    return rewrite


def reorder_methods(node: ast.AST) -> None:
    if isinstance(node, ast.ClassDef):
        node.body = [*node.body[:1], *reversed(node.body[1:])]


def reorder_definitions(node: ast.AST) -> None:
    if isinstance(node, ast.Module):
        definitions = [item for item in node.body if isinstance(item, (ast.FunctionDef, ast.ClassDef))]
        rest = [item for item in node.body if item not in definitions]
        node.body = rest + definitions[::-1]


def drop_docstrings(node: ast.AST) -> None:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
        node.body = node.body[1:] or [ast.Pass()]


def annotate(node: ast.AST) -> None:
    if isinstance(node, ast.FunctionDef):
        node.returns = ast.Name("object", ast.Load())
    elif isinstance(node, ast.arg):
        node.annotation = ast.Constant("torch.Tensor")


def replaced(old: str, new: str) -> Callable[[str], str]:
    def rewrite(source: str) -> str:
        assert old in source, f"{old!r} is not in the Net"
        return source.replace(old, new, 1)

    return rewrite


# What keeps a Net's meaning, and the level that must see through it.
REWRITES: dict[str, tuple[str, Callable[[str], str]]] = {
    "blank lines and line ends": ("hash", lambda source: source.replace("\n", "\r\n") + "\n\n"),
    "comments": ("syntax", lambda source: source.replace("\n    def ", "\n    # what comes next\n    def ")),
    "layout": ("syntax", lambda source: ast.unparse(ast.parse(source))),
    "docstrings dropped": ("syntax", on_tree(drop_docstrings)),
    "annotations": ("syntax", on_tree(annotate)),
    "methods in another order": ("syntax", on_tree(reorder_methods)),
    "definitions in another order": ("syntax", on_tree(reorder_definitions)),
    "variables renamed": ("syntax", renamed(memory="scene", logits="word_scores", images="pictures", features="maps")),
    "attributes renamed": ("syntax", renamed(**{r"self\.encoder": "self.eye", r"self\.pool": "self.shrink"})),
    "classes renamed": ("syntax", renamed(Encoder="Eye", Decoder="Mouth")),
    "constants renamed": ("syntax", renamed(HIDDEN_SIZE="STATE", MAX_LENGTH="LONGEST")),
    "numbers written differently": ("syntax", replaced("DROPOUT = 0.1", "DROPOUT = 1e-1")),
    "a method renamed": ("structure", renamed(generate="write_caption")),
    "a constant copied": ("structure", replaced("range(MAX_LENGTH)", "range(20)")),
    "a variable between": ("structure", replaced("loss.backward()", "total = loss\n            total.backward()")),
    "statements swapped": (
        "structure",
        replaced(
            "self.criterion = None\n        self.optimizer = None",
            "self.optimizer = None\n        self.criterion = None",
        ),
    ),
}

# What trains, or captions, differently.
CHANGES: dict[str, Callable[[str], str]] = {
    "suggested lr": replaced("lr 0.002", "lr 0.003"),
    "suggested momentum": replaced("momentum 0.9.", "momentum 0.95."),
    "dropout": replaced("DROPOUT = 0.1", "DROPOUT = 0.2"),
    "width": replaced("HIDDEN_SIZE = 192", "HIDDEN_SIZE = 256"),
    "optimizer": replaced("torch.optim.AdamW(", "torch.optim.Adam("),
    "weight decay": replaced("weight_decay=0.01", "weight_decay=0.02"),
    "clipping": replaced("clip_grad_norm_(self.parameters(), 1.0)", "clip_grad_norm_(self.parameters(), 2.0)"),
    "clipping too late": replaced(
        "nn.utils.clip_grad_norm_(self.parameters(), 1.0)\n            self.optimizer.step()",
        "self.optimizer.step()\n            nn.utils.clip_grad_norm_(self.parameters(), 1.0)",
    ),
    "label smoothing": replaced("ignore_index=PAD)", "ignore_index=PAD, label_smoothing=0.1)"),
    "activation": replaced("nn.ReLU(inplace=True)", "nn.GELU()"),
    "operator": replaced("self.body(features) + self.shortcut", "self.body(features) - self.shortcut"),
    "initialization": replaced("0.02 * torch.randn(", "0.1 * torch.randn("),
    "longest caption": replaced("MAX_LENGTH = 20", "MAX_LENGTH = 19"),
    "layers in another order": replaced(
        "nn.BatchNorm2d(outputs),\n        nn.ReLU(inplace=True),",
        "nn.ReLU(inplace=True),\n        nn.BatchNorm2d(outputs),",
    ),
    "another input to the sum": replaced(
        "self.body(features) + self.shortcut(features)", "self.body(features) + features"
    ),
}


@pytest.mark.parametrize("name", REWRITES)
def test_what_only_reads_differently_is_found(name: str) -> None:
    level, rewrite = REWRITES[name]
    rewritten = rewrite(SOURCE)
    assert rewritten != SOURCE
    known = level == "structure"
    finder = DuplicateFinder()
    finder.add("first", SOURCE, fingerprint_of(SOURCE) if known else None)
    found = finder.find(rewritten, fingerprint_of(rewritten) if known else None)
    assert found is not None, f"{name}: not found"
    assert (found.level, found.name) == (level, "first"), str(found)
    assert "first" in str(found) and "\n" not in str(found)


@pytest.mark.parametrize("name", CHANGES)
def test_what_trains_differently_is_no_duplicate(name: str) -> None:
    changed = CHANGES[name](SOURCE)
    assert changed != SOURCE
    finder = DuplicateFinder()
    finder.add("first", SOURCE, fingerprint_of(SOURCE))
    found = finder.find(changed, fingerprint_of(changed))
    assert found is None, f"{name}: {found}"


def neighbours(design: Design) -> list[Design]:
    """The designs that differ from this one in one field, after normalization."""
    found = {
        Design(**(design.model_dump() | {name: value})).model_dump_json(): None
        for name, values in choices(design.size).items()
        for value in values
    }
    return [Design.model_validate_json(text) for text in found if text != design.model_dump_json()]


def test_designs_are_no_duplicates_of_each_other() -> None:
    rng = Random(6)
    designs = {design.model_dump_json(): design for design in (random_design(rng) for _ in range(15))}
    for design in [*[*designs.values()][:1], default_design()]:
        designs |= {other.model_dump_json(): other for other in [design, *neighbours(design)]}
    finder = DuplicateFinder()
    for name, design in designs.items():
        source = render(design)
        found = finder.find(source)
        assert found is None, f"{name} is no twin of {found}"
        finder.add(name, source)


def test_fingerprints_follow_the_design() -> None:
    design = default_design()
    assert fingerprint_of(SOURCE), "a sound Net has a fingerprint"
    fingerprints = {
        fingerprint_of(render(Design(**(design.model_dump() | change))))
        for change in ({}, {"hidden_size": 128}, {"dropout": "0.2"}, {"tied_embeddings": False}, {"decoder": "gru"})
    }
    assert len(fingerprints) == 5 and None not in fingerprints


def test_a_net_that_does_too_much_has_no_fingerprint() -> None:
    from lemur_caption.contract.dynamic.fingerprint import fingerprint
    from lemur_caption.contract.dynamic.probe import Probe, load

    # It also swallows what stops it.
    slow = replaced(
        "self.train()",
        "self.train()\n        for _ in range(3000):\n            try:\n                torch.ones(1)\n"
        "            except Exception:\n                pass",
    )(SOURCE)
    probe = Probe(slow)
    probe.module = load(slow)
    assert fingerprint(probe, most_seconds=0.0) is None


def test_the_contract_fingerprints_sound_nets() -> None:
    from lemur_caption.contract.dynamic.run import run_contract

    messages: list[dict[str, object]] = []
    run_contract(SOURCE, profile="strict", parameter_budget=10**8, send=messages.append)
    assert [message["fingerprint"] for message in messages if message["kind"] == "fingerprint"] == [
        fingerprint_of(SOURCE)
    ]


def test_a_near_copy_is_told_by_its_text_until_its_fingerprint_is_known() -> None:
    # A look at `vars` forbids the syntax tree to rename anything.
    first = replaced("self.train()", "self.train()\n        vars(self)")(SOURCE)
    copy = renamed(cells="places")(first)
    finder = DuplicateFinder([("first", first)])
    found = finder.find(copy)
    assert found is not None and found.level == "similarity" and 0.97 <= found.similarity < 1, str(found)
    asked: list[str] = []

    def examine(source: str) -> str:
        asked.append(source)
        return "a" * 64

    finder = DuplicateFinder([("first", first), ("other", "x = 1")], examine=examine)
    assert finder.find(copy, "b" * 64) is None
    same = finder.find(copy, "a" * 64)
    assert same is not None and same.level == "structure"
    assert asked == [first], "only the near copy is examined, once"
    assert DuplicateFinder([("first", first)], threshold=1.1).find(copy) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # A variable that hides a builtin, an import or a function of the module is not any variable.
        ("def f(a):\n    return [max for max in a] + [max]", "def f(a):\n    return [min for min in a] + [min]"),
        ("import os\ndef f(x):\n    return os.sep + x", "import sys\ndef f(x):\n    return sys.sep + x"),
        ("def f(dropout):\n    return g(dropout=dropout)", "def f(p):\n    return g(p=p)"),
        # Names seen as values.
        (
            "class A:\n    def f(self):\n        self.one = 1\n        return vars(self)",
            "class A:\n    def f(self):\n        self.two = 1\n        return vars(self)",
        ),
        (
            "class A:\n    def f(self):\n        self.bias = 1\n        return 'bias' in dir(self)",
            "class A:\n    def f(self):\n        self.b = 1\n        return 'bias' in dir(self)",
        ),
        # An attribute of a base class that another file defines.
        (
            "class A(Base):\n    def f(self):\n        self.rate = 1",
            "class A(Base):\n    def f(self):\n        self.time = 1",
        ),
        # Two names become one.
        ("def f(a, b):\n    return a - b", "def f(a, b):\n    return a - a"),
        ("def f(a, b):\n    return a - b", "def f(a, b):\n    return b - a"),
        ("A = 1\ndef f(x=A):\n    return x\nA = 2", "A = 1\nA = 2\ndef f(x=A):\n    return x"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ('"""Use lr 0.001."""', '"""Use lr: 0.002."""'),
    ],
)
def test_forms_that_differ(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@pytest.mark.parametrize("text", ["", "\0", "def f(:", "(" * 5000, "x = '\ud800'", "\t\f# nothing", "'''open", "0x_"])
def test_odd_texts_have_no_twin_but_themselves(text: str) -> None:
    finder = DuplicateFinder([("net", SOURCE)])
    assert finder.find(text) is None
    finder.add("odd", text)
    found = finder.find(text)
    assert found is not None and (found.level, found.name) == ("hash", "odd")


def test_hand_made_nets_are_themselves_alone() -> None:
    nets = {path.stem: path.read_text(encoding="utf-8") for path in sorted(NETS.glob("*.py"))}
    finder = DuplicateFinder(nets.items())
    for name, source in nets.items():
        found = finder.find(ast.unparse(ast.parse(source)))
        assert found is not None and (found.level, found.name) == ("syntax", name)
        assert (
            finder.find(source.replace("HIDDEN = 192", "HIDDEN = 191").replace("WIDTHS = (24", "WIDTHS = (20")) is None
        )


def test_similarity_estimates_the_jaccard_index() -> None:
    one = [str(number) for number in range(400)]
    other = one[:300] + ["x"] * 5 + one[300:]
    exact_one, exact_other = ({tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (one, other))
    exact = len(exact_one & exact_other) / len(exact_one | exact_other)
    assert similarity(signature(one), signature(one)) == 1
    assert abs(similarity(signature(one), signature(other)) - exact) < 0.05
    assert similarity(signature(one), signature(tokens(SOURCE))) < 0.05


def test_a_threshold_must_be_a_share() -> None:
    with pytest.raises(UsageError, match="threshold"):
        DuplicateFinder(threshold=0)
