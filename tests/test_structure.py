"""What a Net is, read from its run: FLOPs against formulas by hand, parts against the designs that Nets were rendered from."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import ops
from torchvision.models.convnext import CNBlock
from torchvision.models.densenet import DenseNet
from torchvision.models.googlenet import Inception
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import Bottleneck
from torchvision.models.squeezenet import Fire

from lemur_caption.architecture import Design, default_design
from lemur_caption.architecture.render import _encoder_sizes
from lemur_caption.architecture.space import choices
from lemur_caption.lemur import structure, trial
from lemur_caption.lemur.structure import flops
from lemur_caption.lemur.structure.run import record
from rendered_net import build, load

NETS = Path(structure.__file__).parents[2] / "lemur_files" / "nn"
WORDS, HIDDEN, VOCABULARY = 6, 8, 31


def describe(net: nn.Module, side: int = 64) -> tuple[int, structure.Parts]:
    torch.manual_seed(0)
    return structure.describe(net, torch.randn(1, 3, side, side), torch.randint(4, VOCABULARY, (1, WORDS + 1)))


def parts(net: nn.Module, side: int = 32) -> structure.Parts:
    return describe(net, side)[1]


class Captioner(nn.Module):
    """Any encoder, and a decoder that is given the words [1, T, 8] and the places of the image [1, S, 8]."""

    def __init__(self, encoder: nn.Module | None = None, decoder: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder or nn.Conv2d(3, 12, 8, 8), decoder or Steps(nn.GRUCell(HIDDEN, HIDDEN))
        self.project, self.embed = nn.LazyLinear(HIDDEN), nn.Embedding(VOCABULARY, HIDDEN)
        self.output = nn.Linear(HIDDEN, VOCABULARY)
        with torch.no_grad():
            self(torch.randn(2, 3, 32, 32), torch.ones(2, 3, dtype=torch.long))

    def forward(self, images, captions, hidden_state=None):
        places = self.project(self.encoder(images).flatten(2).transpose(1, 2))
        return self.output(self.decoder(self.embed(captions[:, :-1]), places)), hidden_state


class Steps(nn.Module):
    """A cell that starts from the mean of the places and runs word by word; `look` may change what it reads."""

    def __init__(self, cell, look=None) -> None:
        super().__init__()
        self.cell, self.look = cell, look or (lambda state, places: 0.0)

    def forward(self, words, places):
        state, states = places.mean(1), []
        for word in words.unbind(1):
            after = self.cell(
                word + self.look(state, places), (state, state) if isinstance(self.cell, nn.LSTMCell) else state
            )
            state = after[0] if isinstance(after, tuple) else after
            states.append(state)
        return torch.stack(states, 1)  # fmt: skip


# --- FLOPs -----------------------------------------------------------------------------------------------------------


class LSTMByHand(nn.Module):
    """torch.nn.LSTM(HIDDEN, HIDDEN, 2) out of matrix products and element-wise operators, of which the first are counted."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = [lstm]

    def forward(self, words):
        lstm = self.lstm[0]
        for layer in range(lstm.num_layers):
            inner, recurrent, *biases = lstm.all_weights[layer]
            state = cell = words.new_zeros(1, HIDDEN)
            states = []
            for word in words.unbind(1):
                gates = word @ inner.T + state @ recurrent.T + sum(biases)
                enter, forget, new, leave = gates.chunk(4, 1)
                cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
                state = leave.sigmoid() * cell.tanh()
                states.append(state)
            words = torch.stack(states, 1)
        return words


def test_a_fused_lstm_counts_as_much_as_one_written_out_by_hand() -> None:
    lstm = nn.LSTM(HIDDEN, HIDDEN, 2, batch_first=True)
    by_hand, words = LSTMByHand(lstm), torch.randn(1, WORDS, HIDDEN)
    assert torch.allclose(lstm(words)[0], by_hand(words), atol=1e-6)
    counts = [describe(Captioner(decoder=Only(module)))[0] for module in (lstm, by_hand)]
    empty = describe(Captioner(decoder=Only(nn.Identity())))[0]
    assert counts[0] == counts[1] == empty + 2 * WORDS * 2 * (2 * 4 * HIDDEN * HIDDEN)


class Only(nn.Module):
    """A decoder that reads words alone."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, words, places):
        found = self.module(words)
        return (found[0] if isinstance(found, tuple) else found) + places.mean(1, keepdim=True)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_count_alike_however_they_run(kind: str) -> None:
    """As one operator on a GPU, whose arguments these are, and as torch runs them here."""
    layer = getattr(nn, kind)(HIDDEN, HIDDEN, 2, batch_first=True)
    here = describe(Captioner(decoder=Only(layer)))[0] - describe(Captioner(decoder=Only(nn.Identity())))[0]
    weights = [weight for weights in layer.all_weights for weight in weights]
    operator = torch.ops.aten._cudnn_rnn
    assert [argument.name for argument in operator.default._schema.arguments[:2]] == ["input", "weight"]
    assert flops.count(operator, (torch.zeros(WORDS, 1, HIDDEN), weights, 4), {}, None) == here > 0


def test_attention_counts_alike_fused_and_by_hand() -> None:
    class Fused(nn.Module):
        def forward(self, words, places):
            return functional.scaled_dot_product_attention(words, places, places)

    class ByHand(nn.Module):
        def forward(self, words, places):
            return (words @ places.transpose(1, 2)).softmax(-1) @ places

    counts = [describe(Captioner(decoder=decoder))[0] for decoder in (Fused(), ByHand())]
    places = 8 * 8
    layers = places * (12 * 3 * 64 + 12 * HIDDEN) + WORDS * HIDDEN * VOCABULARY
    assert counts == [2 * (layers + 2 * WORDS * HIDDEN * places)] * 2
    layer = nn.TransformerEncoderLayer(HIDDEN, 2, 16, batch_first=True)
    found = describe(Captioner(decoder=Only(layer)))[0] - describe(Captioner(decoder=Only(nn.Identity())))[0]
    assert found == 2 * (WORDS * (4 * HIDDEN * HIDDEN + 2 * 16 * HIDDEN) + 2 * WORDS * WORDS * HIDDEN)


def test_nothing_of_the_run_stays() -> None:
    net = Captioner(decoder=Only(nn.TransformerEncoderLayer(HIDDEN, 2, 16, batch_first=True)))
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    image, caption = torch.ones(1, 3, 32, 32), torch.ones(1, WORDS + 1, dtype=torch.long)
    structure.describe(net, image, caption)
    assert torch.equal(torch.rand(1), expected) and net.training and torch.backends.mha.get_fastpath_enabled()
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())
    with pytest.raises(RuntimeError):
        structure.describe(net, torch.ones(1, 4, 32, 32), caption)
    assert net.training and torch.backends.mha.get_fastpath_enabled()
    with torch.inference_mode():
        assert structure.describe(net, image, caption) == structure.describe(net, image, caption)


# --- parts of rendered Nets ------------------------------------------------------------------------------------------


def expected(design: Design) -> structure.Parts:
    grid = design.memory == "grid"
    transformer = design.decoder == "transformer"
    attends = design.attention != "none" or (transformer and grid)
    return {
        "encoder": design.block,
        "channel_attention": design.channel_attention,
        "channels": _encoder_sizes(design)["channels"],
        "cells": 64 if design.block == "vit" or design.resolution == "fine" else 16,
        "memory": design.memory,
        "memory_size": 16 if attends else 1,
        "decoder": design.decoder,
        "attention": "dot" if transformer and grid else design.attention,
        "hidden_size": design.hidden_size,
        "layers": design.layers,
        "heads": design.heads if transformer else None,
        "tied_embeddings": design.tied_embeddings,
    }


def every_value(seed: int) -> list[Design]:
    """Designs of which each part has every one of its values, and each block every channel attention."""
    rng, fields = random.Random(seed), choices()
    rows = [
        {"block": block, "channel_attention": gate} for block in fields["block"] for gate in fields["channel_attention"]
    ]
    decoders = [(d, m, a) for d in fields["decoder"] for m in fields["memory"] for a in fields["attention"]]
    designs = []
    for number, row in enumerate(rows):
        decoder, memory, attention = decoders[number % len(decoders)]
        rest = {name: rng.choice(values) for name, values in fields.items()}
        designs.append(Design(**rest | row | {"decoder": decoder, "memory": memory, "attention": attention}))
    return designs


def test_parts_of_rendered_nets_are_those_of_their_designs() -> None:
    seen: dict[str, set[object]] = {}
    for design in every_value(0):
        found, wanted = parts(build(design, side=64), side=64), expected(design)
        assert {key: found[key] for key in wanted} == wanted, design
        for name, value in design.model_dump().items():
            seen.setdefault(name, set()).add(value)
    unread = {"dropout", "label_smoothing", "lr", "momentum"}
    assert all(seen[name] == set(values) for name, values in choices().items() if name not in unread), seen


def test_deeper_and_wider_designs_have_more_layers_channels_and_flops() -> None:
    for block in choices()["block"]:
        plain = default_design().model_dump() | {"block": block, "depth": 1, "width": 16}
        small, deep, wide = (
            describe(build(Design(**plain | more), side=64)) for more in ({}, {"depth": 2}, {"width": 32})
        )
        assert deep[1]["encoder_layers"] > small[1]["encoder_layers"] and deep[0] > small[0], block
        assert wide[1]["channels"] == 2 * small[1]["channels"] and wide[0] > small[0], block


@pytest.mark.parametrize(
    ("name", "decoder", "layers", "heads"),
    [("CaptionLSTM", "lstm", 1, None), ("CaptionTransformer", "transformer", 2, 4)],
)
def test_parts_of_the_baselines(name: str, decoder: str, layers: int, heads: int | None) -> None:
    found = parts(load((NETS / f"{name}.py").read_text(), side=64, vocabulary=VOCABULARY), side=64)
    assert (found["encoder"], found["channel_attention"], found["encoder_layers"]) == ("residual", "none", 7)
    assert (found["decoder"], found["attention"], found["layers"], found["heads"]) == (decoder, "dot", layers, heads)
    assert (found["memory"], found["memory_size"], found["channels"], found["cells"]) == ("grid", 16, 96, 64)


# --- parts of other Nets ---------------------------------------------------------------------------------------------


def two(block, *arguments, **options):
    return nn.Sequential(nn.Conv2d(3, 16, 4, 4), block(*arguments, **options), block(*arguments, **options))


class SpatialFirst(nn.Module):
    """Not channel attention: one gate for all channels of a place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, 16, 4, 4), nn.Conv2d(16, 1, 1)

    def forward(self, images):
        features = self.stem(images)
        return features * torch.sigmoid(self.gate(features))


ENCODERS = {
    "residual": lambda: two(Bottleneck, 16, 4),
    "mbconv": lambda: two(InvertedResidual, 16, 16, 1, 4),
    "convnext": lambda: two(CNBlock, 16, 1.0, 0.0),
    "depthwise": lambda: two(lambda: nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Conv2d(16, 16, 1))),
    "dense": lambda: DenseNet(4, (2, 2), 8, num_classes=10).features,
    "fire": lambda: two(Fire, 16, 4, 8, 8),
    "inception": lambda: nn.Sequential(nn.Conv2d(3, 16, 4, 4), Inception(16, 4, 4, 8, 4, 8, 4)),
    "convolution": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2)),
    "other": lambda: nn.Flatten(2),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders_of_torchvision_s_blocks(kind: str) -> None:
    found = parts(Captioner(ENCODERS[kind]()))
    assert (found["encoder"], found["channel_attention"]) == (kind, "none")


def test_patches_that_attend_to_each_other_are_a_vit() -> None:
    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.layer = nn.Conv2d(3, 8, 8, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, images):
            return self.layer(self.patches(images).flatten(2).transpose(1, 2)).transpose(1, 2)

    found = parts(Captioner(ViT()))
    assert (found["encoder"], found["memory"], found["attention"]) == ("vit", "token", "none")
    assert parts(Captioner(nn.Sequential(two(Bottleneck, 16, 4), ViTBehind())))["encoder"] == "residual+vit"


class ViTBehind(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, features):
        places = features.flatten(2).transpose(1, 2)
        return self.layer(places, places, places)[0].transpose(1, 2)


def test_channel_attention_is_a_gate_for_every_channel() -> None:
    gated = parts(Captioner(nn.Sequential(nn.Conv2d(3, 16, 4, 4), ops.SqueezeExcitation(16, 4))))
    assert (gated["encoder"], gated["channel_attention"]) == ("convolution", "se")
    assert parts(Captioner(SpatialFirst()))["channel_attention"] == "none"


class Looks(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.query, self.key, self.score = kind, nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 1)
        self.both = nn.Linear(16, 8)

    def forward(self, state, places):
        query = self.query(state).unsqueeze(1)
        if self.kind == "additive":
            scores = self.score(torch.tanh(query + self.key(places)))
        elif self.kind == "beside":
            scores = self.score(torch.tanh(self.both(torch.cat([query.expand_as(places), places], 2))))
        else:
            scores = (query * places).sum(2, keepdim=True)
        return (scores.softmax(1) * places).sum(1)


@pytest.mark.parametrize(("kind", "wanted"), [("additive", "additive"), ("beside", "additive"), ("product", "dot")])
@pytest.mark.parametrize("cell", ["LSTMCell", "GRUCell", "RNNCell"])
def test_attention_of_a_cell_that_runs_word_by_word(kind: str, wanted: str, cell: str) -> None:
    found = parts(Captioner(decoder=Steps(getattr(nn, cell)(HIDDEN, HIDDEN), Looks(kind))))
    assert (found["attention"], found["memory"], found["memory_size"]) == (wanted, "grid", 16)
    assert (found["decoder"], found["layers"], found["heads"]) == (cell.removesuffix("Cell").lower(), 1, None)
    assert (found["hidden_size"], found["tied_embeddings"]) == (HIDDEN, False)


def test_a_prefix_of_image_and_words_is_a_memory() -> None:
    class Prefix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(HIDDEN, 2, 16, batch_first=True)

        def forward(self, words, places):
            both = torch.cat([places, words], 1)
            later = torch.ones(both.size(1), both.size(1), dtype=torch.bool).triu(1)
            return self.layer(both, src_mask=later)[:, -words.size(1) :]

    found = parts(Captioner(decoder=Prefix()))
    assert (found["decoder"], found["memory"], found["memory_size"], found["heads"]) == ("transformer", "grid", 16, 2)


def test_what_cannot_be_told_is_other_or_nothing() -> None:
    class Blind(nn.Module):
        def forward(self, words, places):
            return words.cumsum(1)

    found = parts(Captioner(decoder=Blind()))
    assert (found["decoder"], found["memory"], found["attention"]) == ("other", None, "none")
    assert parts(Captioner(decoder=Only(LSTMByHand(nn.LSTM(HIDDEN, HIDDEN)))))["decoder"] == "other"


@pytest.mark.parametrize(
    ("count", "found"),
    [(-1, {}), (2**63, {}), (True, {}), (1, None), (None, {}), ("1", {}), (1, {"name": "x"}), (1, {"encoder": "x" * 99}),
     (1, {"encoder": ["vit"]}), (1, []), (1.5, {})],
)  # fmt: skip
def test_a_net_cannot_write_what_is_no_description(count: object, found: object) -> None:
    with pytest.raises(ValueError):
        structure.checked(count, found)
    assert structure.checked(7, {"encoder": "vit", "layers": 2, "heads": None}) == (
        7,
        {"encoder": "vit", "layers": 2, "heads": None},
    )
    assert structure.checked(None, None) == (None, None)


def test_a_net_that_cannot_be_described_has_trained_all_the_same() -> None:
    class Captions:
        lengths = torch.tensor([3, 5, 4])

        def labels(self, index: int) -> torch.Tensor:
            assert index == 1
            return torch.tensor([[1, 2, 0, 0, 0], [1, 4, 5, 6, 2], [0, 0, 0, 0, 0]])

    class Odd(nn.Module):
        def forward(self, images, captions):
            assert captions.tolist() == [[1, 4, 5, 6, 2]]
            raise KeyError("no such word\nand more")

    trainer = SimpleNamespace(model=Odd(), device="cpu", test_dataset=Captions())
    found = trial._structure(trainer, torch.ones(1, 3, 32, 32))
    assert (found["flops"], found["parts"]) == (None, None)
    assert found["unread"] == "its parts and FLOPs could not be read (KeyError: 'no such word\\nand more')"
    trainer.model = Captioner()
    found = trial._structure(trainer, torch.ones(1, 3, 32, 32))
    assert found["flops"] > 0 and found["parts"]["decoder"] == "gru" and found["unread"] == ""


def test_a_recording_is_of_what_ran() -> None:
    net = Captioner()
    found = record(net, torch.ones(1, 3, 32, 32), torch.ones(1, WORDS + 1, dtype=torch.long))
    assert found.words == WORDS and [op.name for op in found.ops].count("convolution") == 1
    assert not any(op.is_image and op.words for op in found.ops)
