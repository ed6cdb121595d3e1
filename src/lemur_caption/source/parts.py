"""The parts of a Net by what its code calls and computes, whatever its classes are named.

A part is one class or function that `Net` reaches. What none of the patterns fits is `other`: nothing is guessed from names.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from .tree import parse

_Definition = ast.ClassDef | ast.FunctionDef
_RECURRENT = {"lstm": {"LSTM", "LSTMCell"}, "gru": {"GRU", "GRUCell"}, "rnn": {"RNN", "RNNCell"}}
# Blocks that torchvision has ready-made.
_READY = {"BasicBlock": "residual", "Bottleneck": "residual", "InvertedResidual": "mbconv", "MBConv": "mbconv"}
_READY |= {"CNBlock": "convnext", "Fire": "fire", "Inception": "inception", "EncoderBlock": "vit"}
_AVERAGES = {"AdaptiveAvgPool2d", "adaptive_avg_pool2d", "mean"}
_MAXIMA = {"AdaptiveMaxPool2d", "adaptive_max_pool2d", "amax"}
_PRODUCTS = {"matmul", "bmm", "einsum"}


@dataclass(frozen=True)
class _Part:
    node: _Definition
    nodes: list[ast.AST]
    calls: dict[str, list[ast.Call]]

    @classmethod
    def of(cls, node: _Definition) -> _Part:
        nodes = list(ast.walk(node))
        return cls(node, nodes, _calls(nodes))

    @property
    def inputs(self) -> list[str]:
        """What `forward`, or the function itself, takes."""
        found = [item for item in self.nodes if isinstance(item, ast.FunctionDef) and item.name == "forward"]
        function = found[0] if found else self.node
        return [] if isinstance(function, ast.ClassDef) else [a.arg for a in function.args.args if a.arg != "self"]

    def has(self, *names: str) -> bool:
        return any(name in self.calls for name in names)

    def multiplies_matrices(self) -> bool:
        return self.has(*_PRODUCTS) or any(isinstance(node, ast.MatMult) for node in self.nodes)

    def adds(self) -> bool:
        return any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) for node in self.nodes)


@dataclass(frozen=True)
class Parts:
    """The classes and functions of a file that its `Net` reaches."""

    tree: ast.Module
    parts: list[_Part]
    torchvision: dict[str, str]

    @classmethod
    def of(cls, source: str) -> Parts | None:
        """None for text that is not Python, or that has no class `Net`."""
        tree = parse(source)
        if tree is None:
            return None
        defined = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        reached, waiting = dict[str, _Part](), ["Net"]
        while waiting:
            name = waiting.pop()
            if name in defined and name not in reached:
                reached[name] = _Part.of(defined[name])
                waiting += [node.id for node in reached[name].nodes if isinstance(node, ast.Name)]
        if "Net" not in reached:
            return None
        imported = {
            alias.asname or alias.name: alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torchvision.models")
            for alias in node.names
        }
        return cls(tree, list(reached.values()), imported)

    def _any(self, *names: str) -> bool:
        return any(part.has(*names) for part in self.parts)

    def decoder(self) -> str:
        for kind, names in _RECURRENT.items():
            if self._any(*names):
                return kind
        attends = self._any("TransformerDecoder", "TransformerDecoderLayer", "MultiheadAttention", "TransformerEncoder")
        return "transformer" if attends or self._any("scaled_dot_product_attention", "Transformer") else "other"

    def attention(self) -> str:
        """How a recurrent decoder looks at the image: by the scores whose softmax weighs what it sees."""
        for part in self.parts:
            if part.has("softmax", "Softmax"):
                if part.has("tanh", "Tanh") and not _gates(part):
                    return "additive"
                if part.multiplies_matrices():
                    return "dot"
        # A class of one input attends to itself: a block of the encoder.
        ready = (
            part.has("MultiheadAttention", "scaled_dot_product_attention")
            for part in self.parts
            if len(part.inputs) > 1
        )
        return "dot" if any(ready) else "none"

    def channel_attention(self) -> str:
        for part in self.parts:
            if _gates(part):
                return "eca" if part.has("Conv1d") else "cbam" if part.has(*_MAXIMA) else "se"
        return "none"

    def encoder(self) -> str:
        kinds = [kind for part in self.parts if (kind := self._block(part)) is not None]
        order = ("vit", "mbconv", "convnext", "depthwise", "dense", "inception", "fire", "residual")
        found = next((kind for kind in order if kind in kinds), None)
        if found is not None:
            return found
        ready = [kind for name, kind in self.torchvision.items() if self._any(name)]
        ready += [name for part in self.parts for name, calls in part.calls.items() if any(map(_of_torchvision, calls))]
        if ready:
            return f"torchvision {ready[0]}"
        return "convolution" if self._any("Conv2d") else "other"

    def _block(self, part: _Part) -> str | None:
        if _gates(part) and not _depthwise(part):
            return None
        for name, kind in _READY.items():
            if self.torchvision.get(name) == name and part.has(name):
                return kind
        if part.has("MultiheadAttention") and len(part.inputs) == 1:
            return "vit"
        if _depthwise(part):
            return "mbconv" if part.has("SiLU", "ReLU6", "Hardswish") else (
                "convnext" if part.has("LayerNorm", "GELU") else "depthwise"
            )  # fmt: skip
        return _joined(part) or ("residual" if part.adds() and part.has("Conv2d") else None)

    def hidden_size(self) -> int | None:
        """The width of the word embedding, where it is a number in the code."""
        numbers = {
            target.id: statement.value.value
            for statement in self.tree.body
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        for part in self.parts:
            for call in part.calls.get("Embedding", []):
                width = call.args[1] if len(call.args) > 1 else None
                value = width.value if isinstance(width, ast.Constant) else None
                if isinstance(width, ast.Name):
                    value = numbers.get(width.id)
                if isinstance(value, int):
                    return value
        return None


def _calls(nodes: list[ast.AST]) -> dict[str, list[ast.Call]]:
    """The calls in a definition by the last part of what is called: `Conv2d` for `nn.Conv2d(...)`."""
    found: dict[str, list[ast.Call]] = {}
    for call in nodes:
        if isinstance(call, ast.Call):
            function = call.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            found.setdefault(name, []).append(call)
    return found


def _of_torchvision(call: ast.Call) -> bool:
    """Whether a call is of `models.NAME` or `torchvision.models.NAME`."""
    place = call.func.value if isinstance(call.func, ast.Attribute) else None
    return (isinstance(place, ast.Attribute) and place.attr == "models") or (
        isinstance(place, ast.Name) and place.id == "models"
    )


def _gates(part: _Part) -> bool:
    """Whether a class weighs its input by a sigmoid of the input's averages."""
    return isinstance(part.node, ast.ClassDef) and part.has("sigmoid", "Sigmoid") and part.has(*_AVERAGES)


def _depthwise(part: _Part) -> bool:
    return any(
        keyword.arg == "groups" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value == 1)
        for call in part.calls.get("Conv2d", [])
        for keyword in call.keywords
    )


def _joined(part: _Part) -> str | None:
    """The kind of a block that joins channels: with its own input, out of several views, or out of two."""
    if not isinstance(part.node, ast.ClassDef) or "forward" not in {getattr(n, "name", "") for n in part.node.body}:
        return None
    for call in part.calls.get("cat", []) + part.calls.get("concat", []):
        along = [k.value for k in call.keywords if k.arg == "dim"] + call.args[1:2]
        if not (along and isinstance(along[0], ast.Constant) and along[0].value == 1):
            continue
        items = call.args[0].elts if call.args and isinstance(call.args[0], ast.List | ast.Tuple) else []
        if any(isinstance(item, ast.Name) and item.id in part.inputs for item in items):
            return "dense" if part.has("Conv2d") else None
        if len(items) == 2 and all(isinstance(item, ast.Call) for item in items):
            return "fire"
        if part.has("MaxPool2d", "AvgPool2d", "max_pool2d", "avg_pool2d"):
            return "inception"
    return None
