"""Diffs as models write them: a corpus, each with the result that was meant, and random edits of a Net."""

from __future__ import annotations

import difflib
import random
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lemur_caption.source.patch import apply_patch, parse_patch
from sound_net import SOUND_NET

NET = """\
import torch
import torch.nn as nn

WIDTH = 64


class Encoder(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.stem = nn.Conv2d(channels, WIDTH, 3)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.stem(x)
        return self.act(x)


class Decoder(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, WIDTH)
        self.out = nn.Linear(WIDTH, vocab)

    def forward(self, x):
        x = self.embed(x)
        return self.out(x)


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.encoder = Encoder(in_shape[1])
        self.decoder = Decoder(out_shape[0])

    def forward(self, images, captions=None):
        return self.decoder(captions)
"""


def fence(body: str, language: str = "diff") -> str:
    return f"```{language}\n{body}```\n"


def net(*edits: tuple[str, str]) -> str:
    """The Net with each text, which stands in it once, replaced."""
    code = NET
    for old, new in edits:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    return code


GELU = net(("nn.ReLU()", "nn.GELU()"))
HUNK = """\
         self.stem = nn.Conv2d(channels, WIDTH, 3)
-        self.act = nn.ReLU()
+        self.act = nn.GELU()
"""
ADDED = net(
    ("        self.act = nn.ReLU()\n", "        self.act = nn.ReLU()\n        self.norm = nn.BatchNorm2d(WIDTH)\n")
)
ADD = """\
         self.act = nn.ReLU()
+        self.norm = nn.BatchNorm2d(WIDTH)
"""
WIDE = net(("WIDTH = 64", "WIDTH = 96"))
BOTH = net(("nn.ReLU()", "nn.GELU()"), ("WIDTH = 64", "WIDTH = 96"))
WIDTH_HUNK = "@@ -4 +4 @@\n-WIDTH = 64\n+WIDTH = 96\n"
SEARCH = """\
<<<<<<< SEARCH
        self.act = nn.ReLU()
=======
        self.act = nn.GELU()
>>>>>>> REPLACE
"""
# What the model wrote, and what it meant; None where the patch has to be refused.
CORPUS: dict[str, tuple[str, str | None]] = {
    "plain": (fence("--- a/net.py\n+++ b/net.py\n@@ -10,2 +10,2 @@\n" + HUNK), GELU),
    "git": (
        fence(
            "diff --git a/net.py b/net.py\nindex 1a2b3c4..5d6e7f8 100644\n--- a/net.py\n+++ b/net.py\n"
            "@@ -10,2 +10,2 @@ class Encoder(nn.Module):\n" + HUNK
        ),
        GELU,
    ),
    "dates": (fence("--- net.py\t2024-01-01 10:00\n+++ net.py\t2024-01-02 10:00\n@@ -10,2 +10,2 @@\n" + HUNK), GELU),
    "no fence": ("--- a/net.py\n+++ b/net.py\n@@ -10,2 +10,2 @@\n" + HUNK, GELU),
    "no fence, prose around": (f"Here is the diff:\n\n@@ -10,2 +10,2 @@\n{HUNK}\nThis should help.\n", GELU),
    "no fence, no header": (HUNK, GELU),
    "fence named python": (fence("@@ -10,2 +10,2 @@\n" + HUNK, "python"), GELU),
    "fence without a name": (fence(HUNK, ""), GELU),
    "fence named patch": (fence(HUNK, "patch"), GELU),
    "fence of tildes": (f"~~~diff\n{HUNK}~~~\n", GELU),
    "fence never closed": (f"```diff\n@@ -10,2 +10,2 @@\n{HUNK}", GELU),
    "prose around the fence": (
        f"I change three things:\n- the activation\n\n{fence(HUNK)}\n+ it is better now.\n",
        GELU,
    ),
    "indented in a list": ("1. Activation\n\n   ```diff\n   @@ @@\n" + textwrap.indent(HUNK, "   ") + "   ```\n", GELU),
    "reasoning first": (f"<think>\n```diff\n{WIDTH_HUNK}```\nno, rather\n</think>\n{fence(HUNK)}", GELU),
    "reasoning not opened": (f"let me see\n@@ x\n-WIDTH = 64\n</think>\n{fence(HUNK)}", GELU),
    "all in the reasoning": (f"<think>\n{fence(HUNK)}", GELU),
    "tags and special tokens": (f"<nn_code>\n@@ ... @@\n{HUNK}</nn_code>\n<|im_end|>\n", GELU),
    "no numbers": (fence("@@ ... @@\n" + HUNK), GELU),
    "bare header": (fence("@@\n" + HUNK), GELU),
    "header with a class": (fence("@@ class Encoder @@\n" + HUNK), GELU),
    "header with a class that is not there": (fence("@@ class Backbone @@\n" + HUNK), GELU),
    "wrong line": (fence("@@ -200,2 +200,2 @@\n" + HUNK), GELU),
    "wrong counts": (fence("@@ -10,9 +10,1 @@\n" + HUNK), GELU),
    "counts left out": (fence("@@ -10 +10 @@\n" + HUNK), GELU),
    "three at signs": (fence("@@@ -10,2 +10,2 @@@\n" + HUNK), GELU),
    "only the new name": (fence("+++ b/CaptionNet.py\n@@ @@\n" + HUNK), GELU),
    "any name": (fence("--- original\n+++ modified\n" + HUNK), GELU),
    "carriage returns": (fence("@@ -10,2 +10,2 @@\n" + HUNK).replace("\n", "\r\n"), GELU),
    "no newline marker": (fence("@@ -10,2 +10,2 @@\n" + HUNK + "\\ No newline at end of file\n"), GELU),
    "trailing white space": (fence("@@ @@\n" + HUNK.replace("\n", "  \n")), GELU),
    "tabs": (fence("@@ @@\n" + HUNK.replace("        ", "\t\t")), GELU),
    "context without its space": (fence("@@ @@\n" + HUNK.replace("\n         ", "\n        ")[1:]), GELU),
    "addition, context without its space": (fence("@@ @@\n" + ADD[1:]), ADDED),
    "addition, everything a column short": (fence("@@ @@\n" + ADD[1:].replace("+        ", "+       ")), ADDED),
    "dedented": (
        fence("@@ @@\n self.stem = nn.Conv2d(channels, WIDTH, 3)\n-self.act = nn.ReLU()\n+self.act = nn.GELU()\n"),
        GELU,
    ),
    "addition, dedented": (fence("@@ @@\n self.act = nn.ReLU()\n+self.norm = nn.BatchNorm2d(WIDTH)\n"), ADDED),
    "a space after the sign": (fence("- self.act = nn.ReLU()\n+ self.act = nn.GELU()\n"), GELU),
    "only a removed and an added line": (fence("-        self.act = nn.ReLU()\n+        self.act = nn.GELU()\n"), GELU),
    "a block deeper": (
        fence(
            "@@ @@\n def forward(self, x):\n     x = self.stem(x)\n-    return self.act(x)\n"
            "+    x = self.act(x)\n+    if x.dim() > 3:\n+        x = x + 1\n+    return x\n"
        ),
        net(
            (
                "        return self.act(x)\n",
                "        x = self.act(x)\n        if x.dim() > 3:\n            x = x + 1\n        return x\n",
            )
        ),
    ),
    "context reworded": (
        fence(
            "@@ @@\n         super().__init__()\n"
            "         self.stem = nn.Conv2d(channels, WIDTH, kernel_size=3)\n"
            "-        self.act = nn.ReLU()\n+        self.act = nn.GELU()\n"
        ),
        GELU,
    ),
    "blank lines lost": (
        fence(
            "@@ @@\n         self.act = nn.ReLU()\n     def forward(self, x):\n"
            "-        x = self.stem(x)\n+        x = self.stem(x) * 2\n"
            "         return self.act(x)\n"
        ),
        net(("x = self.stem(x)", "x = self.stem(x) * 2")),
    ),
    "blank lines without their space": (
        fence(
            "@@ @@\n         self.act = nn.ReLU()\n\n     def forward(self, x):\n"
            "-        x = self.stem(x)\n+        x = self.stem(x) * 2\n"
        ),
        net(("x = self.stem(x)", "x = self.stem(x) * 2")),
    ),
    "two hunks": (fence(f"@@ -4 +4 @@\n-WIDTH = 64\n+WIDTH = 96\n@@ -10,2 +10,2 @@\n{HUNK}"), BOTH),
    "two hunks, out of order": (fence(f"@@ -10,2 +10,2 @@\n{HUNK}\n{WIDTH_HUNK}"), BOTH),
    "two fences": (f"First:\n{fence(HUNK)}\nThen:\n{fence(WIDTH_HUNK)}", BOTH),
    "two hunks that share context": (
        fence(
            "@@ @@\n import torch.nn as nn\n+import math\n \n@@ @@\n import torch.nn as nn\n \n"
            "-WIDTH = 64\n+WIDTH = 96\n"
        ),
        net(("WIDTH = 64", "WIDTH = 96"), ("import torch.nn as nn\n", "import torch.nn as nn\nimport math\n")),
    ),
    "a hunk twice": (fence(f"@@ -10,2 +10,2 @@\n{HUNK}@@ -10,2 +10,2 @@\n{HUNK}"), GELU),
    "an addition twice": (fence(f"@@ @@\n{ADD}@@ @@\n{ADD}"), ADDED),
    "a hunk that changes nothing": (fence(f"@@ @@\n-WIDTH = 64\n+WIDTH = 64\n@@ @@\n{HUNK}"), GELU),
    "nothing but context": (fence("@@ -4 +4 @@\n WIDTH = 64\n"), NET),
    "several files": (
        fence(
            f"--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-epochs = 3\n+epochs = 9\n--- a/net.py\n"
            f"+++ b/net.py\n@@ @@\n{HUNK}"
        ),
        GELU,
    ),
    "a new file beside": (
        fence(f"--- /dev/null\n+++ b/se.py\n@@ -0,0 +1 @@\n+x = 1\n--- a/net.py\n+++ b/net.py\n@@ @@\n{HUNK}"),
        GELU,
    ),
    "one file under two folders": (
        fence(f"--- a/net.py\n+++ b/net.py\n{WIDTH_HUNK}--- nets/net.py\n+++ nets/net.py\n@@ @@\n{HUNK}"),
        BOTH,
    ),
    "begin patch": (
        f"*** Begin Patch\n*** Update File: net.py\n@@ class Encoder(nn.Module):\n{HUNK}*** End Patch\n",
        GELU,
    ),
    "search and replace": (SEARCH, GELU),
    "search and replace, fenced": (fence("net.py\n" + SEARCH, "python"), GELU),
    "search and replace, dedented": (SEARCH.replace("        ", ""), GELU),
    "search and replace twice": (
        SEARCH + "<<<<<<< SEARCH\nWIDTH = 64\n=======\nWIDTH = 96\n>>>>>>> REPLACE\n",
        BOTH,
    ),
    "search and replace, added lines": (
        "<<<<<<< ORIGINAL\n        self.act = nn.ReLU()\n=======\n        self.act = nn.ReLU()\n"
        "        self.norm = nn.BatchNorm2d(WIDTH)\n>>>>>>> UPDATED\n",
        ADDED,
    ),
    "the same line in two classes, by its number": (
        fence("@@ -24,2 +24,3 @@\n     def forward(self, x):\n+        x = x.long()\n"),
        net(("        x = self.embed(x)\n", "        x = x.long()\n        x = self.embed(x)\n")),
    ),
    "the same line in two classes, by the header": (
        fence("@@ class Decoder(nn.Module): @@\n     def forward(self, x):\n+        x = x.long()\n"),
        net(("        x = self.embed(x)\n", "        x = x.long()\n        x = self.embed(x)\n")),
    ),
    "the same line in two classes, by what was left out": (
        fence(" class Decoder(nn.Module):\n ...\n     def forward(self, x):\n+        x = x.long()\n"),
        net(("        x = self.embed(x)\n", "        x = x.long()\n        x = self.embed(x)\n")),
    ),
    "context left out": (
        fence(
            "@@ @@\n class Encoder(nn.Module):\n     # ... existing code ...\n"
            "-        self.act = nn.ReLU()\n+        self.act = nn.GELU()\n"
        ),
        GELU,
    ),
    "at the file's start": (
        fence("@@ -1,2 +1,3 @@\n+import math\n import torch\n import torch.nn as nn\n"),
        "import math\n" + NET,
    ),
    "at the file's end": (
        fence(
            "@@ @@\n         return self.decoder(captions)\n+\n+    def learn(self, train_data):\n"
            "+        return 0.0, 0.0\n"
        ),
        NET + "\n    def learn(self, train_data):\n        return 0.0, 0.0\n",
    ),
    "a removed line with a minus": (
        fence("@@ @@\n WIDTH = 64\n+DEEP = -1\n"),
        net(("WIDTH = 64\n", "WIDTH = 64\nDEEP = -1\n")),
    ),
    # Refused.
    "a removed line that is not there": (
        fence("@@ @@\n         super().__init__()\n-        self.act = nn.SiLU()\n+        self.act = nn.GELU()\n"),
        None,
    ),
    "a removed line nearly there": (
        fence(
            "@@ @@\n         self.stem = nn.Conv2d(channels, WIDTH, 3)\n"
            "-        self.act = nn.ReLU(inplace=True)\n+        self.act = nn.GELU()\n"
        ),
        None,
    ),
    "two places": (fence("@@ ... @@\n     def forward(self, x):\n+        x = x.long()\n"), None),
    "two places and a wrong number": (
        fence("@@ -90,2 +90,3 @@\n     def forward(self, x):\n+        x = x.long()\n"),
        None,
    ),
    "three places, white space damaged": (fence("@@ @@\n super( ).__init__()\n+self.x = 1\n"), None),
    "no context": (fence("@@ -11,0 +12 @@\n+        self.norm = nn.BatchNorm2d(WIDTH)\n"), None),
    "blank context": (fence("@@ @@\n \n+X = 1\n \n"), None),
    "context from elsewhere": (
        fence("@@ @@\n         self.pool = nn.MaxPool2d(2)\n         self.head = None\n+        self.x = 1\n"),
        None,
    ),
    "one hunk of two is wrong": (fence(f"@@ @@\n{HUNK}@@ @@\n-DEPTH = 3\n+DEPTH = 4\n"), None),
    "two hunks change one line": (
        fence(f"@@ @@\n{HUNK}@@ @@\n-        self.act = nn.ReLU()\n+        self.act = nn.SiLU()\n"),
        None,
    ),
    "a hunk leans on what another removes": (fence(f"@@ @@\n{HUNK}@@ @@\n{ADD}"), None),
    "added code left out": (
        fence(
            "@@ @@\n-        self.act = nn.ReLU()\n+        self.act = nn.GELU()\n+        # ... rest of the class\n"
        ),
        None,
    ),
    "removed code left out": (
        fence(
            "@@ @@\n-        self.stem = nn.Conv2d(channels, WIDTH, 3)\n-        ...\n+        self.act = nn.GELU()\n"
        ),
        None,
    ),
    "removed lines moved apart": (
        fence(
            "@@ @@\n-self.stem = nn.Conv2d(channels, WIDTH, 3)\n-        self.act = nn.ReLU()\n"
            "+        self.act = nn.GELU()\n"
        ),
        None,
    ),
    "search for nothing": ("<<<<<<< SEARCH\n=======\nX = 1\n>>>>>>> REPLACE\n", None),
    "search for what is not there": (SEARCH.replace("nn.ReLU()", "nn.ReLU6()"), None),
    "only another file": (fence("--- a/train.py\n+++ b/train.py\n@@ @@\n-epochs = 3\n+epochs = 9\n"), None),
}


@pytest.mark.parametrize("name", CORPUS)
def test_a_diff_does_what_was_meant_or_nothing(name):
    answer, meant = CORPUS[name]
    patch = parse_patch(answer)
    patched = apply_patch(patch, NET)
    assert patched.source == meant, patched.note
    if meant is None:
        assert "refused: " in patched.note


def test_the_corpus_is_large_and_refusals_say_why():
    assert len(CORPUS) >= 80
    notes = {name: apply_patch(parse_patch(answer), NET).note for name, (answer, _) in CORPUS.items()}
    for name, words in {
        "plain": "hunk 1 applied at line 10",
        "dedented": "hunk 1 applied at line 10, but for white space",
        "context reworded": "of its context",
        "a removed line that is not there": "the file has no line `self.act = nn.SiLU()` to remove",
        "two places": "its lines stand at 2 places",
        "no context": "no line that tells where it belongs",
        "one hunk of two is wrong": "hunk 1 applied at line 10; hunk 2 refused: the file has no line `DEPTH = 3` to remove",
        "two hunks change one line": "hunk 2 refused: it overlaps another hunk",
        "added code left out": "it leaves code out: `# ... rest of the class`",
        "a hunk twice": "hunk 2 repeats another",
        "a hunk that changes nothing": "hunk 1 changes nothing",
        "several files": "file train.py is left out",
        "removed lines moved apart": "the indentation of its lines",
    }.items():
        assert words in notes[name], (name, notes[name])


CUT = f"```diff\n@@ -4 +4 @@\n-WIDTH = 64\n+WIDTH = 96\n@@ -10,9 +10,9 @@\n{HUNK}+        self.n"


def test_of_a_cut_off_answer_the_whole_hunks_count():
    for answer, cut_off in ((CUT, True), (CUT, False), (CUT.replace("-10,9 +10,9", "..."), True)):
        patch = parse_patch(answer, cut_off)
        assert len(patch.hunks) == 1 and patch.notes == ("the last hunk was cut off and is left out",)
        patched = apply_patch(patch, NET)
        assert patched.source == WIDE and "cut off" in patched.note
    whole = parse_patch(fence(HUNK) + "And the reas", cut_off=True)
    assert apply_patch(whole, NET).source == GELU, "the fence ended the hunk before the answer broke off"
    assert not parse_patch(f"```diff\n{HUNK}", cut_off=True).hunks
    searched = parse_patch(SEARCH + "<<<<<<< SEARCH\nWIDTH = 64\n=====", cut_off=True)
    assert apply_patch(searched, NET).source == GELU and "has no end" in searched.notes[0]


@pytest.mark.parametrize(
    "answer", ["", "Only prose.", "- one\n- two\n", NET, fence(NET, "python"), f"- better\n{fence(NET, 'python')}"]
)
def test_what_is_no_diff_has_no_hunks(answer):
    assert parse_patch(answer).hunks == ()


def test_a_diff_that_is_a_whole_file():
    added = "".join(f"+{line}\n" for line in NET.splitlines())
    patch = parse_patch(fence(f"--- /dev/null\n+++ b/net.py\n@@ -0,0 +1,38 @@\n{added}"))
    assert patch.new_file == NET
    assert parse_patch(CORPUS["plain"][0]).new_file is None


def test_tabs_in_the_source_stay():
    source = "class A:\n\tdef f(self):\n\t\treturn 1\n"
    patched = apply_patch(parse_patch("@@ @@\n \tdef f(self):\n-\t\treturn 1\n+\t\treturn 2\n"), source)
    assert patched.source == source.replace("1", "2")


def test_too_many_hunks_are_refused():
    patched = apply_patch(parse_patch(WIDTH_HUNK * 201), NET)
    assert patched.source is None and patched.note == "refused: 201 hunks are more than 200"


@pytest.mark.parametrize(
    "answer",
    [
        "<<<<<<< " + "a" * 50_000 + "!",
        "<<<<<<< SEARCH\n" + "\n" * 80_000 + "=======\n" + "\n" * 80_000 + ">>>>>>> REPLACE\n",
        "<<<<<<< SEARCH\n" * 10_000,
        "".join(f"--- a/{number}.py\n+++ b/{number}.py\n@@ @@\n+x\n" for number in range(6_000)),
        "@@ @@\n" + "         x = 1\n" * 10_000 + "+y\n",
        "```\n" * 40_000,
        "\x00\ud83d@@ -9999999999999999999999 +1 @@\n-a\n+b\n",
    ],
)
def test_long_nonsense_ends(answer):
    assert apply_patch(parse_patch(answer), NET).source in (None, NET)


# --- random edits ----------------------------------------------------------------------------------------------------

NEW_LINES = [
    "        x = x * 2",
    "    extra = 1",
    "MORE = 3",
    "        return x",
    "",
    "        self.norm = nn.LayerNorm(WIDTH)",
]


@st.composite
def edited_nets(draw):
    source = draw(st.sampled_from([NET, SOUND_NET]))
    lines = source.split("\n")[:-1]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        size = draw(st.integers(0, 3))
        lines[at : at + size] = draw(st.lists(st.sampled_from(NEW_LINES), min_size=0 if size else 1, max_size=3))
    return source, "\n".join(lines) + "\n"


def diff_of(source: str, target: str, context: int = 3) -> list[str]:
    lines = difflib.unified_diff(
        source.splitlines(), target.splitlines(), "a/net.py", "b/net.py", n=context, lineterm=""
    )
    return list(lines)


def _no_numbers(lines: list[str], _: random.Random) -> list[str]:
    return ["@@ ... @@" if line.startswith("@@") else line for line in lines]


def _wrong_numbers(lines: list[str], rng: random.Random) -> list[str]:
    return [
        f"@@ -{rng.randint(900, 990)},7 +{rng.randint(900, 990)},2 @@" if line.startswith("@@") else line
        for line in lines
    ]


def _trailing_space(lines: list[str], rng: random.Random) -> list[str]:
    return [line + rng.choice(["", " ", "\t"]) if not line.startswith("@@") else line for line in lines]


def _no_mark_on_blank(lines: list[str], _: random.Random) -> list[str]:
    return ["" if line == " " else line for line in lines]


def _no_mark_on_context(lines: list[str], _: random.Random) -> list[str]:
    return [line[1:] if line.startswith(" ") else line for line in lines]


def _tabs(lines: list[str], _: random.Random) -> list[str]:
    return [line if line.startswith("@@") else line[:1] + line[1:].replace("    ", "\t") for line in lines]


def _spaces_inside(lines: list[str], rng: random.Random) -> list[str]:
    return [line.replace(", ", rng.choice([",", ",  "])) if line.startswith(" ") else line for line in lines]


def _no_file_names(lines: list[str], _: random.Random) -> list[str]:
    return lines[2:]


DAMAGE = [
    _no_numbers,
    _wrong_numbers,
    _trailing_space,
    _no_mark_on_blank,
    _no_mark_on_context,
    _tabs,
    _spaces_inside,
    _no_file_names,
]


def code_alone(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


@given(edited_nets(), st.integers(1, 3))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_the_diff_of_any_edit_gives_exactly_the_edit(edited, context):
    source, target = edited
    lines = diff_of(source, target, context)
    patched = apply_patch(parse_patch(fence("\n".join(lines) + "\n")), source)
    if not lines:
        assert patched.source == source
    elif context == 3 or patched.source is not None:
        assert patched.source == target, patched.note
    else:
        assert "no line that tells where it belongs" in patched.note


@given(
    edited_nets(),
    st.integers(1, 3),
    st.lists(st.sampled_from(DAMAGE), min_size=1, max_size=4, unique=True),
    st.randoms(),
)
@settings(max_examples=600, deadline=None, derandomize=True)
def test_a_damaged_diff_gives_the_edit_or_nothing(edited, context, damages, rng):
    source, target = edited
    lines = diff_of(source, target, context)
    for damage in damages:
        lines = damage(lines, rng)
    patched = apply_patch(parse_patch(fence("\n".join(lines) + "\n")), source)
    assert patched.source is None or code_alone(patched.source) == code_alone(target if lines else source), patched.note


def test_most_damaged_diffs_are_applied():
    rng = random.Random(0)
    applied = total = 0
    for damage in DAMAGE:
        for _ in range(12):
            lines = SOUND_NET.split("\n")
            at = rng.randrange(30, len(lines) - 2)
            target = "\n".join([*lines[:at], "        x = x * 2", *lines[at + 1 :]])
            diff = damage(diff_of(SOUND_NET, target), rng)
            patched = apply_patch(parse_patch(fence("\n".join(diff) + "\n")), SOUND_NET)
            total += 1
            applied += patched.source is not None and code_alone(patched.source) == code_alone(target)
    assert applied >= 0.9 * total, f"{applied} of {total}"


@st.composite
def mangled_answers(draw):
    text = draw(st.sampled_from([answer for answer, _ in CORPUS.values()]))
    for _ in range(draw(st.integers(1, 4))):
        at, size = draw(st.integers(0, len(text))), draw(st.integers(0, 30))
        text = draw(st.sampled_from([text[:at] + text[at + size :], text[: at + size] + text[at:], text[:at]]))
    return text


@given(
    st.one_of(mangled_answers(), st.text(alphabet=st.sampled_from("+- @`<>=\\.\n\tab1\x00é"), max_size=80)),
    st.booleans(),
)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_text_is_survived(text, cut_off):
    patched = apply_patch(parse_patch(text, cut_off), NET)
    assert patched.source is None or isinstance(patched.source, str)
    assert "hunk" in patched.note or patched.source in (NET, None) or "file" in patched.note
