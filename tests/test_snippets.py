"""Excerpts of source, and snippets of classification Nets."""

import ast

import pytest

from lemur_caption.errors import UsageError
from lemur_caption.prompt.excerpt import excerpt
from lemur_caption.prompt.pool import torchvision_pool
from lemur_caption.prompt.snippets import Snippet, key_blocks, sample_snippets

NET = '''
import torch
import torch.nn as nn

class Gate(nn.Module):
    """Weighs channels."""
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)  # one weight a channel

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x.mean((2, 3))))[..., None, None]

def halve(channels):
    return channels // 2

class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        if channels < 2:
            raise ValueError("too few")
        self.conv = nn.Conv2d(channels, halve(channels), 3, padding=1)
        self.norm = nn.BatchNorm2d(halve(channels))
        self.drop = nn.Dropout2d(0.1)
        self.gate = Gate(halve(channels))

    def forward(self, x):
        y = self.conv(x)
        y = self.norm(y)
        y = torch.relu(self.drop(y))
        return self.gate(y)

    def describe(self):
        return "a block"

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.body = nn.Sequential(Block(8), Block(4))

    def train_setup(self, prm):
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"])

    def learn(self, train_data):
        return 0.0

    def forward(self, x):
        return self.body(x)

def build():
    return Net((1,), (1,), {}, "cpu")
'''


def lone_net(channels, layer="Conv2d"):
    return (
        "import torch.nn as nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.a = nn.{layer}({channels}, {channels}, 3)\n        self.b = nn.ReLU()\n"
        "    def learn(self, data):\n        pass\n"
        "    def forward(self, x):\n        return self.b(self.a(x))\n"
    )


def names_defined(code):
    return [node.name for node in ast.parse(code).body]


def test_a_whole_source_that_fits_is_left_alone():
    cut = excerpt(NET, 10_000)
    assert cut.code == NET.strip() + "\n"
    assert cut.dropped == ()


@pytest.mark.parametrize("size", [130, 200, 400, 600, 800, 1000, 1200])
def test_an_excerpt_parses_keeps_its_limit_and_says_what_is_missing(size):
    cut = excerpt(NET, size)
    ast.parse(cut.code)
    assert len(cut.code) <= size
    assert cut.dropped[0].startswith("comments")


def test_excerpts_lose_the_least_telling_parts_first():
    plain = excerpt(NET, 1350)
    assert "describe" in plain.code
    for gone in ("import", "one weight", "Weighs", "int", "raise"):
        assert gone not in plain.code, f"{gone!r} is still in:\n{plain.code}"
    tight = excerpt(NET, 700)
    assert "describe" not in tight.code and "halve(channels):" not in tight.code
    assert any("describe" in what and "train_setup" in what for what in tight.dropped)


def test_keep_definitions_outlines_every_class():
    assert names_defined(excerpt(NET, 450, keep_definitions=True).code) == ["Gate", "Block", "Net"]
    assert names_defined(excerpt(NET, 450).code) == ["Gate"]


def test_a_limit_below_the_outline_gives_nothing():
    assert excerpt(NET, 30) is None


def test_a_long_sequence_is_cut_before_the_statements_around_it():
    layers = ", ".join(f"nn.Linear({n}, {n + 1})" for n in range(30))
    code = (
        f"class A(nn.Module):\n    def __init__(self):\n        self.a = nn.Sequential({layers})\n        self.b = 1\n"
    )
    cut = excerpt(code, 250)
    assert "nn.Linear(0, 1)" in cut.code and "..." in cut.code and "self.b = 1" in cut.code
    assert len(cut.code) <= 250


def test_statements_emptied_by_the_cut_still_parse():
    code = (
        "def f(x):\n    '''Doc.'''\n    try:\n        import os\n    except ImportError:\n        print('no')\n"
        "    if x:\n        assert x\n    elif x > 1:\n        y: int = 2\n    else:\n        print(1)\n"
        "    for _ in x:\n        'text'\n"
    )
    cut = excerpt(code, len(code) - 10)
    ast.parse(cut.code)
    assert "import os" not in cut.code and "y = 2" in cut.code


def test_key_blocks_put_the_richest_block_first_with_its_helpers_and_without_the_network():
    code = key_blocks(NET)
    assert names_defined(code)[0] == "Block"
    assert set(names_defined(code)) == {"Block", "Gate", "halve"}
    assert "import" not in code


def test_a_net_without_blocks_is_its_own_block_without_its_training_code():
    code = key_blocks(lone_net(8))
    assert names_defined(code) == ["Net"]
    assert "self.a" in code and "learn" not in code


@pytest.mark.parametrize("source", ["", "x = 1", "class A:\n    pass", "def (", "class B(nn.Module):\n    x = 1", "\0"])
def test_a_source_without_blocks_gives_none(source):
    assert key_blocks(source) is None


def test_torchvision_pool_yields_a_parsing_snippet_for_each_net():
    pool = torchvision_pool()
    names = [name for name, _ in pool]
    assert names == sorted(names) and len(names) == 16 and "resnet" not in names
    for name, source in pool:
        code = key_blocks(source, 1000)
        assert code is not None, f"no snippet of {name}"
        assert 100 < len(code) <= 1000
        assert any(isinstance(node, ast.ClassDef) for node in ast.parse(code).body)
    assert "class Fire" in key_blocks(dict(pool)["squeezenet"], 1000)
    assert "class MBConv" in key_blocks(dict(pool)["efficientnet"], 1000)


def test_sampling_is_deterministic_and_differs_between_seeds():
    pool = torchvision_pool()
    first = sample_snippets(pool, 5, seed=1)
    assert first == sample_snippets(reversed(pool), 5, seed=1)
    assert len({snippet.name for snippet in first}) == 5
    assert {snippet.name for snippet in first} != {snippet.name for snippet in sample_snippets(pool, 5, seed=2)}


def test_families_are_excluded_by_the_name_of_net_or_class():
    pool = [
        ("Res-Net50", lone_net(8)),
        ("innocent", NET.replace("Gate", "ResNetGate")),
        ("plain", NET),
    ]
    assert [snippet.name for snippet in sample_snippets(pool, 1, seed=0, exclude=["resnet"])] == ["plain"]
    with pytest.raises(UsageError, match="2 snippets were asked for, but only 1 of 3"):
        sample_snippets(pool, 2, seed=0, exclude=["ResNet"])


def test_siblings_that_differ_in_numbers_never_share_a_prompt():
    pool = [(f"sibling{n}", lone_net(8 * n)) for n in range(1, 6)] + [("other", NET)]
    for seed in range(6):
        snippets = sample_snippets(pool, 2, seed)
        assert sum(snippet.name.startswith("sibling") for snippet in snippets) == 1
    with pytest.raises(UsageError):
        sample_snippets(pool, 3, seed=0)


def test_damaged_nets_are_passed_over():
    pool = [("broken", "class Net(nn.Module:\n"), ("good", NET)]
    assert sample_snippets(pool, 1, seed=3) == [Snippet("good", key_blocks(NET))]
