"""What the torch rules know of the installed libraries, and what they must leave alone."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from lemur_caption.contract.source_rules.library import MISSING, UNKNOWN, close_names, first_missing, resolve
from lemur_caption.contract.source_rules.parse import Source, long_chain, parse
from lemur_caption.contract.source_rules.torch_calls import parameters


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("torch.nn.Linear", nn.Linear),
        ("torch.nn.functional.relu", nn.functional.relu),
        ("torch.utils.checkpoint.checkpoint", torch.utils.checkpoint.checkpoint),
        ("torch.nn.Linear.forward", nn.Linear.forward),
        ("torch.nn.SelfAttention", MISSING),
        ("torch.nn.nothing.Linear", MISSING),
        ("torch.ops.aten.invented", UNKNOWN),
        ("torch.float32.invented", UNKNOWN),
        ("os.path", UNKNOWN),
        ("torch.utils.bottleneck.__main__", UNKNOWN),
    ],
)
def test_a_path_resolves_to_the_object_itself(path, expected):
    assert resolve(path) is expected


def test_only_allowed_packages_are_ever_loaded():
    before = set(sys.modules)
    assert resolve("antigravity") is UNKNOWN
    assert resolve("this.s") is UNKNOWN
    assert {"antigravity", "this"} & (set(sys.modules) - before) == set()


def test_the_first_missing_part_is_named():
    assert first_missing("torch.nn.SelfAttention.forward") == ("torch.nn", "SelfAttention")
    assert first_missing("torch.nn.Linear") is None
    assert first_missing("torch.ops.anything") is None


@pytest.mark.parametrize(
    ("name", "meant"), [("MultiHeadAttention", "MultiheadAttention"), ("Conv2D", "Conv2d"), ("Gelu", "GELU")]
)
def test_close_names_hold_what_was_meant(name, meant):
    assert meant in close_names("torch.nn", name)


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_accept_what_torch_accepts(layer):
    accepts = parameters(f"torch.nn.{layer}")
    assert accepts.required == ("input_size", "hidden_size")
    for name in accepts.keywords - {"input_size", "hidden_size"}:
        value = {"nonlinearity": "relu", "dtype": torch.float64, "device": "cpu", "proj_size": 2}.get(name, 1)
        getattr(nn, layer)(
            4, 4, **{name: value if name not in ("bias", "batch_first", "bidirectional", "dropout") else 0}
        )
    for name in {"hidden_dim", "proj_size", "nonlinearity", "vocab_size"} - accepts.keywords:
        # torch raises ValueError itself for proj_size, which only nn.LSTM has.
        with pytest.raises((TypeError, ValueError)):
            getattr(nn, layer)(4, 4, **{name: 2})
    made = getattr(nn, layer)(4, 5, 2, *(["relu"] if layer == "RNN" else []), False)
    assert (made.num_layers, made.bias) == (2, False)
    assert accepts.positional[: 5 if layer == "RNN" else 4][-1] == "bias"


@pytest.mark.parametrize(
    ("path", "known", "unknown"),
    [
        ("torch.cat", {"tensors", "dim", "axis", "out"}, {"dimension"}),
        ("torch.nonzero", {"input", "as_tuple"}, {"tuple"}),
        ("torch.nn.functional.conv2d", {"weight", "stride", "padding"}, {"kernel_size"}),
        ("torch.nn.functional.scaled_dot_product_attention", {"attn_mask", "is_causal"}, {"mask"}),
        ("torch.nn.functional.max_pool2d", {"kernel_size", "return_indices"}, {"pool_size"}),
    ],
)
def test_keywords_of_functions(path, known, unknown):
    keywords = parameters(path).keywords
    assert known <= keywords
    assert not unknown & keywords


@pytest.mark.parametrize("path", ["torch.einsum", "torch.Tensor", "torch.nn.Identity", "torchvision.models.resnet18"])
def test_what_takes_anything_is_not_judged(path):
    accepts = parameters(path)
    assert accepts is None or accepts.keywords is None or accepts.positional is None


@pytest.mark.parametrize("path", ["torch.no_grad", "torchvision.models.ResNet18_Weights", "torch.nn.SelfAttention"])
def test_callables_without_an_exact_signature_are_left_alone(path):
    assert parameters(path) is None


def test_every_layer_of_torch_is_read_as_python_reads_it():
    """An exact reading: the arguments that a layer requires are those whose absence makes Python refuse the call."""
    judged = 0
    for name in dir(nn):
        layer = getattr(nn, name)
        if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
            continue
        accepts = parameters(f"torch.nn.{name}")
        if accepts is None or accepts.positional is None or not accepts.required:
            continue
        with pytest.raises(TypeError, match=r"required|missing"):
            layer()
        judged += 1
    assert judged > 60


def test_long_chains_are_seen_before_they_are_parsed():
    """Python 3.10 builds a syntax tree of any depth, and its C stack ends before the tree does."""
    assert long_chain("x = torch" + ".nn" * 6000)
    assert long_chain("x = 1" + " + 1" * 6000)
    assert not long_chain("x = [" + "-0.5, " * 6000 + "]")
    assert not long_chain("x = a.b + c.d\n" * 6000)
    assert not long_chain("x = (")


def scopes(text: str) -> dict[str, str | None]:
    """The import that each call in a text goes to."""
    import ast

    from lemur_caption.contract.source_rules.library import dotted_path

    source = parse(text)
    assert isinstance(source, Source)
    return {ast.unparse(call.func): dotted_path(source, call.func) for call in source.find(ast.Call)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import torch.nn as nn\nnn.Linear()", "torch.nn.Linear"),
        ("import torch\ntorch.nn.Linear()", "torch.nn.Linear"),
        ("import torch.nn.functional\ntorch.relu()", "torch.relu"),
        ("from torch import nn as layers\nlayers.Linear()", "torch.nn.Linear"),
        ("from torch.nn import Linear as L\nL()", "torch.nn.Linear"),
        ("from torch import nn\ndef f():\n    return nn.Linear()", "torch.nn.Linear"),
        ("from torch import nn\ndef f(nn):\n    return nn.Linear()", None),
        ("from torch import nn\ndef f():\n    nn = 1\n    return nn.Linear()", None),
        ("from torch import nn\nif x:\n    nn = None\nnn.Linear()", None),
        ("from torch import nn\nclass A:\n    nn = 1\n    def f(self):\n        return nn.Linear()", "torch.nn.Linear"),
        ("from torch import nn\nclass A:\n    nn = 1\n    x = nn.Linear()", None),
        ("from torch import nn\nz = [nn.Linear() for nn in y]", None),
        ("from torch import nn\nz = [nn.Linear() for y in nn]", "torch.nn.Linear"),
        ("from torch import nn\nz = [(nn := y) for y in w]\nnn.Linear()", None),
        ("from torch import nn\ndef f():\n    global nn\n    nn = 1\nnn.Linear()", None),
        ("from torch import nn\ntry:\n    pass\nexcept E as nn:\n    pass\nnn.Linear()", None),
        ("from torch import nn\nmatch y:\n    case [nn]:\n        nn.Linear()", None),
        ("try:\n    from apex import norm\nexcept ImportError:\n    from torch import norm\nnorm()", None),
        ("from .torch import nn\nnn.Linear()", None),
    ],
)
def test_names_resolve_by_pythons_scopes(text, expected):
    (found,) = scopes(text).values()
    assert found == expected
