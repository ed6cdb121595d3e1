"""The fix-up passes, one by one and together, and 1,000 mutations of sound Nets."""

import ast
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lemur_caption.source.fixups import MAX_CHARACTERS, PASSES, AppliedPass, Pass, apply_fixups
from lemur_caption.source.fixups.brackets import balance_brackets
from lemur_caption.source.fixups.scan import parse, scan, statements
from sound_net import SOUND_NET

NETS = [
    SOUND_NET,
    *(path.read_text() for path in sorted((Path(__file__).parent / "data" / "malformed" / "nets").glob("*.txt"))),
]
BY_NAME = {each.name: each.apply for each in PASSES}

# Pass, what is wrong, what becomes of it.
EXAMPLES = {
    "marks-fence": ("marks", "```python\nx = 1\n```\n", "x = 1\n"),
    "marks-tag": ("marks", "<nn>\nx = 1\n</nn>\n", "x = 1\n"),
    "marks-tag-on-code-line": ("marks", "<nn_code>x = f(1)</nn_code>\n", "x = f(1)\n"),
    "marks-language": ("marks", "python\nx = 1\n```\n", "x = 1\n"),
    "marks-entities": ("marks", "y = a &lt; b\n", "y = a < b\n"),
    "marks-entities-in-string-stay": ("marks", "y = 'a &lt; b'\n", "y = 'a &lt; b'\n"),
    "marks-in-string-stay": ("marks", 's = """\n```\nx\n```\n"""\n', 's = """\n```\nx\n```\n"""\n'),
    "characters-line-ends": ("characters", "x = 1\r\ny = 2\r\n", "x = 1\ny = 2\n"),
    "characters-no-break-space": ("characters", "x\u00a0= 1\n", "x = 1\n"),
    "characters-zero-width": ("characters", "x = \u200b1\n", "x = 1\n"),
    "characters-quotes": ("characters", "x = \u2018a\u2019\n", "x = 'a'\n"),
    "characters-quotes-in-string-stay": ("characters", 'x = "a\u2019s"\n', 'x = "a\u2019s"\n'),
    "tabs": ("tabs", "def f():\n\tif x:\n\t\treturn 1\n", "def f():\n    if x:\n        return 1\n"),
    "tabs-mixed": ("tabs", "def f():\n    x = 1\n\treturn x\n", "def f():\n    x = 1\n    return x\n"),
    "tabs-of-eight": (
        "tabs",
        "if a:\n    if b:\n\tx = 1\n        y = 2\n",
        "if a:\n    if b:\n        x = 1\n        y = 2\n",
    ),
    "tabs-in-string-stay": ("tabs", 's = """\n\tx"""\n', 's = """\n\tx"""\n'),
    "unfinished-call": ("unfinished", "x = 1\ny = f(1, ", "x = 1\n"),
    "unfinished-operator": ("unfinished", "x = 1\ny = x +", "x = 1\n"),
    "unfinished-string": ("unfinished", "x = 1\ny = 'ab", "x = 1\n"),
    "unfinished-docstring": ("unfinished", 'x = 1\ndef f():\n    """Some', "x = 1\n"),
    "unfinished-header": ("unfinished", "x = 1\nfor i in", "x = 1\n"),
    "unfinished-headers": ("unfinished", "x = 1\nclass A:\n    def f(self):", "x = 1\n"),
    "unfinished-decorator": ("unfinished", "x = 1\n@torch.no_grad()", "x = 1\n"),
    "unfinished-leaves-brackets": ("unfinished", "x = 1\ny = f(1\n", "x = 1\ny = f(1\n"),
    "missing-colon-method": (
        "missing-colon",
        "class A:\n    def f(self):\n        return 1\n\n    def g(self, x=(1, 2))  # more\n        return x\n",
        "class A:\n    def f(self):\n        return 1\n\n    def g(self, x=(1, 2)):  # more\n        return x\n",
    ),
    "missing-colon-class": ("missing-colon", "class A(B)\n    x = 1\n", "class A(B):\n    x = 1\n"),
    "missing-colon-every-header": (
        "missing-colon",
        "for i in x\n    if i\n        y = 1\n    elif f(i) > {1: 2}[i]\n        y = 2\n    else\n        y = 3\n"
        "while x[1:]\n    try\n        y = 1\n    except E as e\n        y = 2\n    finally\n        y = 3\n"
        "with f() as g\n    if lambda: 1\n        y = 4\n",
        "for i in x:\n    if i:\n        y = 1\n    elif f(i) > {1: 2}[i]:\n        y = 2\n    else:\n        y = 3\n"
        "while x[1:]:\n    try:\n        y = 1\n    except E as e:\n        y = 2\n    finally:\n        y = 3\n"
        "with f() as g:\n    if lambda: 1:\n        y = 4\n",
    ),
    "missing-colon-no-body": ("missing-colon", "def f(x)\ny = 1\n", "def f(x):\ny = 1\n"),
    "missing-colon-and-bracket": ("missing-colon", "def f(x, y\n    return x\n", "def f(x, y:\n    return x\n"),
    "missing-colon-several-lines": (
        "missing-colon",
        "def f(\n    x,\n    y,\n)\n    return x\n",
        "def f(\n    x,\n    y,\n):\n    return x\n",
    ),
    "missing-colon-inline-stays": ("missing-colon", "if x: y = 1\nz = (\n", "if x: y = 1\nz = (\n"),
    "missing-colon-not-in-expressions": ("missing-colon", "x = [\nfor i in y\n]\n", "x = [\nfor i in y\n]\n"),
    "missing-colon-half-a-header-stays": ("missing-colon", "def f(\n    return 1\n", "def f(\n    return 1\n"),
    "missing-colon-prose-stays": ("missing-colon", "for example this\n    x = 1\n", "for example this\n    x = 1\n"),
    "unfinished-try": (
        "unfinished-try",
        "def f():\n    try:\n        x = 1\n\n    return x\n",
        "def f():\n    try:\n        x = 1\n    finally:\n        pass\n\n    return x\n",
    ),
    "unfinished-try-at-the-end": ("unfinished-try", "try:\n    x = 1", "try:\n    x = 1\nfinally:\n    pass"),
    "unfinished-try-within-another": (
        "unfinished-try",
        "try:\n    try:\n        x = 1\nexcept E:\n    x = 2\n",
        "try:\n    try:\n        x = 1\n    finally:\n        pass\nexcept E:\n    x = 2\n",
    ),
    "unfinished-try-only-if-it-helps": ("unfinished-try", "try:\n    x = (\n", "try:\n    x = (\n"),
    "brackets-end-of-file": ("brackets", "x = f(1, [2, 3\n", "x = f(1, [2, 3])\n"),
    "brackets-before-comment": ("brackets", "x = f(1  # one)\ny = 2\n", "x = f(1)  # one)\ny = 2\n"),
    "brackets-before-colon": ("brackets", "if f(1:\n    x = 1\n", "if f(1):\n    x = 1\n"),
    "brackets-before-arrow": ("brackets", "def f(x -> int:\n    return x\n", "def f(x) -> int:\n    return x\n"),
    "brackets-string-knows": ("brackets", "x = f(')'\ny = 2\n", "x = f(')')\ny = 2\n"),
    "brackets-list-line": ("brackets", "x = [\n    f(1,\n    g(2),\n]\n", "x = [\n    f(1),\n    g(2),\n]\n"),
    "brackets-hanging": ("brackets", "x = [\n    f(1),\ny = 2\n", "x = [\n    f(1),]\ny = 2\n"),
    "brackets-mismatch": ("brackets", "x = f(a[1)\n", "x = f(a[1])\n"),
    "brackets-wrong-kind": ("brackets", "x = f(1]\n", "x = f(1)\n"),
    "brackets-one-too-many": ("brackets", "x = f(g(1)))\ny = 2\n", "x = f(g(1))\ny = 2\n"),
    "brackets-opener": ("brackets", "x = f 1, 2)\n", "x = f( 1, 2)\n"),
    "brackets-opener-super": ("brackets", "super).__init__()\n", "super().__init__()\n"),
    "brackets-opener-hanging": ("brackets", "x = f\n    1,\n    2,\n)\n", "x = f(\n    1,\n    2,\n)\n"),
    "brackets-opener-set": ("brackets", "def f():\n    return 'a', 'b'}\n", "def f():\n    return{ 'a', 'b'}\n"),
    "brackets-opener-fused": ("brackets", "a = 1\nx = lena)\n", "a = 1\nx = len(a)\n"),
    "brackets-two-statements": ("brackets", "x = f(1\ny = g[2\nz = 3\n", "x = f(1)\ny = g[2]\nz = 3\n"),
    "indentation-too-deep": (
        "indentation",
        "def f():\n    x = 1\n      y = 2\n    return y\n",
        "def f():\n    x = 1\n    y = 2\n    return y\n",
    ),
    "indentation-between": (
        "indentation",
        "if a:\n    if b:\n        x = 1\n      y = 2\n",
        "if a:\n    if b:\n        x = 1\n        y = 2\n",
    ),
    "indentation-slipped-out": (
        "indentation",
        "def f():\n    x = 1\n  y = 2\n    return y\n",
        "def f():\n    x = 1\n    y = 2\n    return y\n",
    ),
    "indentation-headers-leave-blocks": (
        "indentation",
        "class A:\n    def f(self):\n        return 1\n    def g(\n        return 2\n",
        "class A:\n    def f(self):\n        return 1\n    def g(\n        return 2\n",
    ),
    "indentation-all": ("indentation", "  x = 1\n  def f():\n      return x\n", "x = 1\ndef f():\n      return x\n"),
    "empty-body-class": ("empty-body", "class A:\n\nx = 1\n", "class A:\n    pass\n\nx = 1\n"),
    "empty-body-comment": ("empty-body", "def f():\n    # later\nx = 1\n", "def f():\n    pass\n    # later\nx = 1\n"),
    "empty-body-end": ("empty-body", "class A:\n    def f(self):\n", "class A:\n    def f(self):\n        pass\n"),
    "device-argument": (
        "device",
        "def f(x, device):\n    return x.cuda()\n",
        "def f(x, device):\n    return x.to(device)\n",
    ),
    "device-chain": (
        "device",
        "class A:\n    def f(self, x):\n        self.device = 0\n        return x.cuda(0).y.cuda(non_blocking=True)\n",
        "class A:\n    def f(self, x):\n        self.device = 0\n"
        "        return x.to(self.device).y.to(self.device, non_blocking=True)\n",
    ),
    "device-to": (
        "device",
        "def f(x, device):\n    return x.to('cuda:0')\n",
        "def f(x, device):\n    return x.to(device)\n",
    ),
    "device-unknown-stays": ("device", "def f(x):\n    return x.cuda()\n", "def f(x):\n    return x.cuda()\n"),
    "device-non-ascii": (
        "device",
        "def f(x, device):\n    return 'é', x.cuda()\n",
        "def f(x, device):\n    return 'é', x.to(device)\n",
    ),
    "missing-imports": (
        "missing-imports",
        "x: Optional[int] = math.sqrt(torch.ones(1))\ny = OrderedDict(a=partial(F.relu))\n",
        "import torch\nimport math\nimport torch.nn.functional as F\nfrom typing import Optional\n"
        "from collections import OrderedDict\n"
        "from functools import partial\nx: Optional[int] = math.sqrt(torch.ones(1))\ny = OrderedDict(a=partial(F.relu))\n",
    ),
    "missing-imports-after-docstring": (
        "missing-imports",
        '"""Doc."""\nfrom __future__ import annotations\nclass A(nn.Module):\n    pass\n',
        '"""Doc."""\nfrom __future__ import annotations\nimport torch.nn as nn\nclass A(nn.Module):\n    pass\n',
    ),
    "missing-imports-not-bound-names": (
        "missing-imports",
        "def f(math, models):\n    F = 1\n    return math, models, F\n",
        "def f(math, models):\n    F = 1\n    return math, models, F\n",
    ),
    "missing-imports-unknown-stays": ("missing-imports", "x = rearrange(y)\n", "x = rearrange(y)\n"),
    "nn-import-twice": (
        "nn-import",
        "import torch.nn as nn\nimport torch\nimport torch.nn as nn\n",
        "import torch.nn as nn\nimport torch\n",
    ),
    "nn-import-from-torch": (
        "nn-import",
        "from torch import nn, Tensor\n",
        "import torch.nn as nn\nfrom torch import Tensor\n",
    ),
    "nn-import-both": ("nn-import", "from torch import nn\nimport torch.nn as nn\n", "import torch.nn as nn\n"),
    "nn-import-list": ("nn-import", "import torch, torch.nn as nn\n", "import torch.nn as nn\nimport torch\n"),
    "hyperparameters-overwritten": (
        "hyperparameters",
        "def supported_hyperparameters():\n    x = 1\n    return ['lr', x]\n\ny = 1\n",
        "def supported_hyperparameters():\n    return {'lr', 'momentum'}\n\ny = 1\n",
    ),
    "hyperparameters-added": (
        "hyperparameters",
        "import torch\n\nclass A:\n    pass\n",
        "import torch\n\n\ndef supported_hyperparameters():\n    return {'lr', 'momentum'}\n\n\nclass A:\n    pass\n",
    ),
    "hyperparameters-twice": (
        "hyperparameters",
        "def supported_hyperparameters():\n    return {'lr', 'momentum'}\nx = 1\nsupported_hyperparameters = lambda: {'lr'}\n",
        "def supported_hyperparameters():\n    return {'lr', 'momentum'}\nx = 1\n",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_pass_mends_what_it_is_for(name):
    pass_name, before, after = EXAMPLES[name]
    assert BY_NAME[pass_name](before) == after
    assert BY_NAME[pass_name](after) == after, "a second run changes nothing"


def test_every_pass_has_examples_and_says_why():
    assert {pass_name for pass_name, _, _ in EXAMPLES.values()} == set(BY_NAME)
    for each in PASSES:
        assert "Why: " in each.why, each.name


@pytest.mark.parametrize("net", NETS)
def test_sound_nets_come_back_as_they_are(net):
    assert apply_fixups(net).code == net
    assert apply_fixups(net).applied == ()


def test_the_trail_holds_the_source_after_each_pass():
    code = SOUND_NET.replace("import math\n", "").replace("self.to(self.device)", "self.to(self.device", 1)
    fixed = apply_fixups(f"```python\n{code}```\n")
    assert [each.name for each in fixed.applied] == ["marks", "brackets", "missing-imports"]
    assert fixed.applied[0].code == code
    assert fixed.applied[-1].code == fixed.code
    assert "import math" not in fixed.applied[1].code
    assert not any(each.undone for each in fixed.applied)


def test_a_pass_that_breaks_sound_source_is_undone_and_recorded():
    vandal = Pass("vandal", lambda code: code + "(")
    fixed = apply_fixups("x = 1\n", (vandal,))
    assert fixed.code == "x = 1\n"
    assert fixed.applied == (AppliedPass("vandal", "x = 1\n(", undone=True),)


def test_source_too_long_or_too_deep_comes_back():
    long = "x = (\n" * (MAX_CHARACTERS // 6 + 1)
    assert apply_fixups(long).code == long
    deep = "x = " + "-" * 50_000 + "1\n"
    assert apply_fixups(deep).code.endswith("1\n")


def _single_drops(net: str) -> list[str]:
    return [net[: token.start] + net[token.end :] for token in scan(net) if token.kind in ("open", "close")]


def test_single_dropped_colons_are_mended():
    """The colon of every header of every Net, one at a time: all give the Net again."""
    total = exact = 0
    for net in NETS:
        wanted = ast.dump(ast.parse(net))
        for statement in statements(net):
            if statement.opens_block:
                code = net[: statement.end - 1] + net[statement.end :]
                fixed = apply_fixups(code)
                total += 1
                exact += fixed.parses and ast.dump(ast.parse(fixed.code)) == wanted
    assert total > 60
    assert exact == total, f"{exact} of {total}"


@pytest.mark.slow
def test_single_dropped_brackets_are_mended():
    """Every bracket of every Net, one at a time: 60% must parse again; in fact nearly all do, most as they were."""
    total = parsing = exact = 0
    for net in NETS:
        wanted = ast.dump(ast.parse(net))
        for code in _single_drops(net)[::2]:
            tree = parse(balance_brackets(code))
            total += 1
            parsing += tree is not None
            exact += tree is not None and ast.dump(tree) == wanted
    assert total > 400
    assert parsing >= 0.97 * total, f"{parsing} of {total} parse"
    assert exact >= 0.8 * total, f"{exact} of {total} are the Net again"


def _cut(lines: list[str], at: int, size: int) -> list[str]:
    return lines[:at] + lines[at + size :]


def _duplicate(lines: list[str], at: int, size: int) -> list[str]:
    return lines[: at + size] + lines[at:]


def _reindent(lines: list[str], at: int, size: int) -> list[str]:
    shift = (-4, -3, -2, -1, 1, 2, 3, 4)[size % 8]
    line = lines[at]
    margin = len(line) - len(line.lstrip())
    return [*lines[:at], " " * max(margin + shift, 0) + line.lstrip(), *lines[at + 1 :]]


def _drop_bracket(lines: list[str], at: int, size: int) -> list[str]:
    code = "\n".join(lines)
    brackets = [token for token in scan(code) if token.kind in ("open", "close")]
    if not brackets:
        return lines
    token = brackets[at % len(brackets)]
    return (code[: token.start] + code[token.end :]).split("\n")


@st.composite
def mutated_nets(draw):
    code = draw(st.sampled_from(NETS))
    for _ in range(draw(st.integers(1, 3))):
        lines = code.split("\n")
        mutate = draw(st.sampled_from([_cut, _duplicate, _reindent, _drop_bracket]))
        at = draw(st.integers(0, len(lines) - 1))
        code = "\n".join(mutate(lines, at, draw(st.integers(1, 8))))
    return code


@pytest.mark.slow
@given(mutated_nets())
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_mutated_nets_never_raise_and_never_get_worse(code):
    fixed = apply_fixups(code)
    if parse(code) is not None:
        assert fixed.parses
        assert not any(each.undone for each in fixed.applied), "no pass tries to break sound source"
    if fixed.parses:
        assert apply_fixups(fixed.code).code == fixed.code


@given(st.text(alphabet=st.sampled_from("()[]{}:=,.#'\"\\ \t\n\rabcdef19@é\x00"), max_size=60))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_text_is_survived(text):
    assert "".join(token.text for token in scan(text)) == text
    fixed = apply_fixups(text)
    assert fixed.parses or parse(text) is None


def test_a_statement_left_open_does_not_swallow_the_rest():
    code = textwrap.dedent(
        """\
        class Net(nn.Module):
            def f(self, x:
                self.a = g(x, [1, 2)
                return self.a

            def g(self):
                return h(1
        """
    )
    mended = balance_brackets(code)
    net = ast.parse(mended).body[0]
    assert isinstance(net, ast.ClassDef)
    assert [node.name for node in net.body if isinstance(node, ast.FunctionDef)] == ["f", "g"]
