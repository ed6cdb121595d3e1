"""From responses to Nets: the corpus of malformed responses, and what no corpus holds."""

import ast
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lemur_caption.source.extraction import Extraction, extract
from lemur_caption.source.fixups import apply_fixups
from sound_net import SOUND_NET

CASES = runpy.run_path(str(Path(__file__).parent / "data" / "malformed" / "corpus.py"))["CASES"]
# What a response spread over blocks, or left out, comes back complete but not always in the order of the original.
FREE_ORDER = ("several-helper", "several-method", "hyperparameters-missing")


def normalized(source: str, free_order: bool = False) -> list[str]:
    """The syntax tree without positions; imports sorted, and with `free_order` definitions and methods too."""
    tree = ast.parse(source)
    if free_order:
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                node.body.sort(key=ast.dump)
    is_import = [isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body]
    dumps = [ast.dump(node) for node in tree.body]
    imports = sorted(dump for dump, yes in zip(dumps, is_import, strict=True) if yes)
    rest = [dump for dump, yes in zip(dumps, is_import, strict=True) if not yes]
    return imports + (sorted(rest) if free_order else rest)


def recovered(name: str) -> bool:
    response, intended = CASES[name]
    found = extract(response)
    if found.code is None:
        return False
    fixed = apply_fixups(found.code)
    free = name.startswith(FREE_ORDER)
    return fixed.parses and normalized(fixed.code, free) == normalized(intended, free)


def test_the_corpus_is_large_and_varied():
    assert len(CASES) >= 80
    assert len({response for response, _ in CASES.values()}) == len(CASES)
    assert len({name.split("-")[0] for name in CASES}) >= 10


def test_the_corpus_holds_malformed_responses():
    """Hardly any response is a Net as it stands, and all intended Nets parse."""
    as_they_stand = [name for name, (response, intended) in CASES.items() if response == intended]
    assert as_they_stand == ["bare"]
    for _, intended in CASES.values():
        ast.parse(intended)


def test_at_least_95_percent_of_the_corpus_yield_the_intended_code():
    lost = [name for name in CASES if not recovered(name)]
    assert len(lost) <= 0.05 * len(CASES), f"{len(lost)} of {len(CASES)} lost: {lost}"


@pytest.mark.parametrize(
    "name",
    [
        "fence-nested-in-markdown",
        "fence-in-docstring",
        "fence-never-closed",
        "several-two-complete-last-wins",
        "several-sketch-after",
        "bare-prose-between",
        "tag-nn-hp-tr",
        "think-with-drafts",
        "think-never-closed",
        "truncated-in-layers",
        "mixed-everything",
    ],
)
def test_cases_that_must_never_be_lost(name):
    assert recovered(name)


@pytest.mark.parametrize(
    "response, note",
    [
        ("", "the response is empty"),
        ("  \n\n", "the response is empty"),
        ("I cannot help with that.", "0 block(s) of code, none defines a class"),
        ("<think>A Net needs a class", "the response is reasoning without an answer and holds no class"),
        ("```python\nimport torch\nx = 3\n```", "1 block(s) of code, none defines a class"),
        ('```json\n{"lr": 0.1}\n```', "0 block(s) of code, none defines a class"),
    ],
)
def test_no_code_says_why(response, note):
    assert extract(response) == Extraction(None, note, 1 if "1 block" in note else 0)


def test_the_note_and_the_count_tell_where_the_net_came_from():
    response = f"<think>hm</think>\n```python\nclass A:\n    pass\n```\n```python\n{SOUND_NET}```\n"
    found = extract(response)
    assert found.code == SOUND_NET
    assert found.candidates == 2
    assert found.note == "class Net in one of 2 block(s) with classes"
    assert extract(f"<think>\n{SOUND_NET}").note.endswith("in the reasoning")


def test_a_class_by_another_name_is_taken_and_named():
    found = extract("```python\n" + SOUND_NET.replace("class Net(", "class Captioner(") + "```")
    assert found.code is not None and "class Captioner(" in found.code
    assert found.note.startswith("class Captioner, no class Net,")


def test_the_text_net_does_not_win_against_the_class_net():
    """Words are not scored: a block that only talks of the class loses to the one that has it."""
    talk = (
        "# class Net(nn.Module) train_setup learn forward supported_hyperparameters\n" * 30
        + "class Other:\n    x = 1\n"
    )
    found = extract(f"```python\n{SOUND_NET}```\n```python\n{talk}```\n")
    assert found.code == SOUND_NET


def test_a_later_net_without_imports_beats_an_earlier_complete_file():
    later = SOUND_NET[SOUND_NET.index("class Net(") :].replace("nhead=4", "nhead=8")
    code = extract(f"```python\n{SOUND_NET}```\nWith more heads:\n```python\n{later}```\n").code
    assert code is not None and "nhead=8" in code and "nhead=4" not in code
    assert "class Encoder(" in code and "class Positions(" in code and "WIDTH = 64" in code
    assert apply_fixups(code).parses


def test_only_a_response_that_broke_off_ends_without_a_newline():
    assert extract(f"```python\n{SOUND_NET.rstrip()}\n```").code == SOUND_NET
    broken_off = extract(f"```python\n{SOUND_NET[:1500]}").code
    assert broken_off is not None and broken_off == SOUND_NET[:1500]


# fmt: off
_PIECES = st.sampled_from([
    "```", "```python\n", "~~~", "<think>", "</think>", "<nn>", "</nn>", "class Net(nn.Module):\n", "    def learn(self):\n",
    "        return (1,\n", '"""', "'", "\\\n", "\t", "\n", " ", "(", "]", "{", "#", "@", "import torch\n",
    "\u00e9\u2028\x00\x0c", "\ud800",
])
# fmt: on


@given(st.lists(_PIECES | st.text(max_size=8), max_size=40).map("".join))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_response_raises(response):
    found = extract(response)
    assert (found.code is None) == (not found.note.startswith("class "))
    if found.code is not None:
        apply_fixups(found.code)


@pytest.mark.parametrize(
    "text", ["(" * 20000 + "class", "class A:\n" + " x" * 50000, "```\n" * 5000 + "class A: pass", "class f(\n" * 3000]
)
def test_long_nonsense_raises_nothing(text):
    assert isinstance(extract(text), Extraction)
