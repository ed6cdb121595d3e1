"""The transformations of `forward` and of the loop that writes a caption."""

from __future__ import annotations

import textwrap

import pytest

from lemur_caption.source.adapt import Adaptation, adapt
from old_net_parts import PARTS, assert_keeps_the_api, names, net

FIRST = "if captions is None:\n    return self.write(images)\nif captions.dim() == 3:\n    captions = captions[:, 0]\n"


def forward_with(body: str, signature: str = "self, images, captions=None, hidden_state=None", **parts: str) -> str:
    text = textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8)
    return net(forward=f"    def forward({signature}):\n{text}\n", **parts)


def test_one_return_for_both_ways() -> None:
    body = """
        memory = self.vision(images).unsqueeze(1)
        if captions is None:
            result = torch.cat([self.write(memory)], dim=1)
        else:
            captions = captions[:, 0] if captions.dim() == 3 else captions
            result = self.out(self.embed(captions[:, :-1]) + memory)
        return result
    """
    learn = PARTS["learn"].replace("self(images, captions)[0]", "self(images, captions)")
    adaptation = adapt(forward_with(body, learn=learn))
    assert "return result if captions is None else (result, hidden_state)" in adaptation.source
    assert_keeps_the_api(adaptation.source)


def test_a_module_that_returns_a_pair_already() -> None:
    inner = """
class Decoder(nn.Module):
    def forward(self, tokens, memory):
        return self.out(tokens) + memory, memory
"""
    body = FIRST + "return self.rnn(captions[:, :-1], images)"
    init = PARTS["init"].rstrip() + "\n        self.rnn = Decoder()\n"
    source = forward_with(body, init=init, imports=PARTS["imports"] + inner)
    assert adapt(source) == Adaptation(source, [], [])


def test_a_loss_from_forward_is_left_alone() -> None:
    body = """
        if captions is None:
            return self.write(self.vision(images).unsqueeze(1))
        if captions.dim() == 3:
            captions = captions[:, 0]
        logits = self.out(self.embed(captions[:, :-1])).flatten(0, 1)
        return nn.functional.cross_entropy(logits, captions[:, 1:].flatten(), ignore_index=0)
    """
    source = forward_with(body)
    assert adapt(source) == Adaptation(source, [], [])


@pytest.mark.parametrize(
    ("body", "signature", "reason"),
    [
        ("return self.out(self.embed(captions))", "self, images, captions", "no method of Net writes captions"),
        (
            "if captions is None:\n    return 1\nreturn captions.unknown",
            "self, images, captions=None, hidden_state=None",
            "cannot be told to be logits",
        ),
        (
            "if captions is None:\n    captions = images\nreturn self.out(captions)",
            "self, images, captions=None, hidden_state=None",
            "cannot be told to be logits",
        ),
    ],
)
def test_a_forward_that_is_not_understood_is_refused(body: str, signature: str, reason: str) -> None:
    parts = {"write": PARTS["write"].replace("def write", "def compose")}
    refusals = adapt(forward_with(body, signature, **parts)).refusals
    assert any(reason in refusal for refusal in refusals), refusals


def test_a_net_that_unpacks_its_own_logits_is_refused() -> None:
    body = FIRST + "return torch.cat([captions], 1)"
    loop = "for images, captions in train_data:\n    one, two = self(images, captions)\n    one.backward()"
    learn = "    def learn(self, train_data):\n" + textwrap.indent(loop, " " * 8) + "\n"
    adaptation = adapt(forward_with(body, learn=learn))
    assert "hidden-state" not in names(adaptation)
    assert any("unpacks" in refusal for refusal in adaptation.refusals)


def test_hidden_state_goes_before_other_arguments() -> None:
    source = net().replace("captions=None, hidden_state=None", "captions=None, max_len=20")
    source = source.replace("[:, :-1]) + memory), hidden_state", "[:, :-1]) + memory), None")
    assert "def forward(self, images, captions=None, hidden_state=None, max_len=20):" in adapt(source).source
    by_position = source.replace("self(images, captions)", "self(images, captions, 5)")
    assert any("by position" in refusal for refusal in adapt(by_position).refusals)


def test_front_padding_that_the_net_trains_with_is_refused() -> None:
    body = """
        memory = self.vision(images).unsqueeze(1)
        if captions is None:
            return self.write(memory)
        if captions.dim() == 3:
            captions = captions[:, 0]
        logits = self.out(self.embed(captions[:, :-1]) + memory)
        return torch.cat([torch.zeros(len(images), 1, logits.size(-1)), logits], dim=1), hidden_state
    """
    adaptation = adapt(forward_with(body.replace(", hidden_state\n", "\n")))
    assert any("logits-length" in refusal for refusal in adaptation.refusals)


@pytest.mark.parametrize(
    ("head", "adapted"),
    [
        ("while True:", ["for _ in range(max_len):"]),
        ("while not (token == 2).all():", ["for _ in range(max_len):", "if (token == 2).all():"]),
        (
            "while (token != 2).any() or not words:",
            ["for _ in range(max_len):", "if not ((token != 2).any() or not words):"],
        ),
        ("for step in itertools.count():", ["for step in range(max_len):"]),
    ],
)
def test_an_endless_loop_is_bounded(head: str, adapted: list[str]) -> None:
    source = net(
        write=PARTS["write"].replace("for _ in range(max_len):", head), imports=PARTS["imports"] + "import itertools\n"
    )
    adaptation = adapt(source)
    lines = [line.strip() for line in adaptation.source.splitlines()]
    assert names(adaptation) == ["bounded-inference"]
    assert all(line in lines for line in adapted)
    assert_keeps_the_api(adaptation.source)


@pytest.mark.parametrize(
    "head",
    [
        "while len(words) < max_len:",
        "while True:\n            if len(words) >= 9:\n                break",
        "while True:\n            self.tune()",
    ],
)
def test_other_loops_are_left_alone(head: str) -> None:
    write = PARTS["write"].replace("for _ in range(max_len):", head)
    if "tune" in head:
        write = write.replace(".argmax(-1)", "")  # chooses no word
    source = net(write=write)
    assert adapt(source).source == source


def test_the_limit_is_the_nets_own() -> None:
    write = PARTS["write"].replace(", max_len=6", "").replace("for _ in range(max_len):", "while True:")
    assert "for _ in range(20):" in adapt(net(write=write)).source
    init = PARTS["init"].rstrip() + "\n        self.max_length = 9\n"
    assert "for _ in range(self.max_length):" in adapt(net(write=write, init=init)).source
    assert (
        "for _ in range(MAX_LENGTH):" in adapt(net(write=write, imports=PARTS["imports"] + "MAX_LENGTH = 9\n")).source
    )
