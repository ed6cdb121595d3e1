"""The encoder's parts, among the operators that depend on the image and not on the words."""

from __future__ import annotations

from collections.abc import Iterator

from .recording import PRODUCTS, SOFTMAXES, Op, Value

PARTS = ("encoder", "channel_attention", "channels", "cells", "encoder_layers")
_SQUASHING = frozenset({"sigmoid", "sigmoid_", "hardsigmoid", "hardsigmoid_", "tanh", "tanh_", *SOFTMAXES})
_MAXIMA = frozenset({"amax", "max", "adaptive_max_pool2d", "max_pool2d_with_indices"})
_ADDING, _MULTIPLYING = frozenset({"add", "add_"}), frozenset({"mul", "mul_"})
# What leaves a feature map a feature map. Attention makes tensors of four dimensions too.
_MAPPING = frozenset({"convolution", "cat", "_adaptive_avg_pool2d", "avg_pool2d", "max_pool2d_with_indices"})
_MAPPING |= {"native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training", "native_group_norm"}
_MAPPING |= {"relu", "relu_", "silu", "silu_", "gelu", "hardtanh_", "hardswish", "hardswish_"}
_JOINED, _DEPTHWISE = ("dense", "inception", "fire"), ("mbconv", "convnext", "depthwise")


def find(ops: list[Op]) -> dict[str, str | int | bool | None]:
    """Parts of the encoder:

    - `encoder`: its building block. `mbconv`, `convnext`, `depthwise` (another block of depthwise convolutions), `dense`
      (joins what came before), `inception` and `fire` (branches side by side), `residual`, `convolution` (none of these),
      `vit` (self-attention among places of the image), `KIND+vit` for both, `other` without any;
    - `channel_attention`: `se`, `eca` or `cbam` where a feature map is weighed by a gate for every channel, else `none`;
    - `channels` and `cells`: of the last feature map; cells as the last convolution left them, before any pooling;
    - `encoder_layers`: convolutions and matrix products with weights on the longest way to a convolution or
      self-attention.
    """
    view = _View([op for op in ops if op.is_image])
    attends = [op for op in view.ops if op.name in SOFTMAXES and len(op.shape) > 2 and op.shape[-1] == op.shape[-2] > 1]
    maps = [op.shape for op in view.ops if op.name in _MAPPING and view.is_convolved_map(op)]
    return {
        "encoder": _kind(view, bool(attends)),
        "channel_attention": next(filter(None, map(view.gate, view.ops)), "none"),
        "channels": maps[-1][1] if maps else None,
        "cells": _cells(view.convolutions[-1].shape) if view.convolutions else None,
        "encoder_layers": view.longest([*view.convolutions, *attends]),
    }


def _kind(view: _View, attends: bool) -> str:
    kinds = {*view.joins(), *(view.depthwise(op) for op in view.convolutions if _is_depthwise(op))}
    found = next((kind for kind in (*_DEPTHWISE, *_JOINED) if kind in kinds), None)
    if found is None and any(map(view.is_shortcut, view.ops)):
        found = "residual"
    if attends:
        return f"{found}+vit" if found else "vit"
    return found or ("convolution" if view.convolutions else "other")


class _View:
    """Image operators as layers: convolutions and matrix products with weights, at more than one place of the image.

    A layer at one place, or to one channel, belongs to a gate and is looked through.
    """

    def __init__(self, ops: list[Op]) -> None:
        self.ops = ops
        self._op = {op.index: op for op in ops}
        self.layers = [op for op in ops if _is_layer(op)]
        self.convolutions = [op for op in self.layers if op.name == "convolution"]
        # The layers that each operator's result comes from with no other layer between.
        self._near: dict[int, frozenset[int]] = {}
        layers = {op.index for op in self.layers}
        for op in ops:
            self._near[op.index] = frozenset({op.index}) if op.index in layers else self._above(op)

    def _above(self, op: Op) -> frozenset[int]:
        return frozenset().union(*(self.near(value) for value in op.data))

    def near(self, value: Value) -> frozenset[int]:
        return self._near.get(value.producer, frozenset())

    def above(self, op: Op) -> list[Op]:
        return [self._op[index] for index in self._above(op)]

    def below(self, op: Op) -> list[Op]:
        return [layer for layer in self.layers if op.index in self._above(layer)]

    def before(self, value: Value) -> int:
        return self._op[value.producer].before if value.producer in self._op else 0

    def longest(self, ends: list[Op]) -> int | None:
        """Layers on the longest way to any of `ends`."""
        lengths: dict[int, int] = {}
        for op in self.ops:
            before = max((lengths.get(value.producer, 0) for value in op.data), default=0)
            lengths[op.index] = before + (self._near[op.index] == {op.index})
        return max((lengths[op.index] for op in ends), default=None)

    def depthwise(self, op: Op) -> str:
        """The kind of block that a depthwise convolution is the middle, or the start, of."""
        below = self.below(op)
        if any(_widens(layer) for layer in self.above(op)) and any(_narrows(layer) for layer in below):
            return "mbconv"
        for wide in below:
            if _widens(wide) and any(_narrows(layer) for layer in self.below(wide)):
                return "convnext"
        return "depthwise"

    def joins(self) -> Iterator[str]:
        """The kinds of blocks that join feature maps along their channels."""
        for op in self.ops:
            parts = [value for value in op.data if _cells(value.shape) > 1]
            if op.name != "cat" or len(parts) < 2 or op.shape[1] <= max(value.shape[1] for value in parts):
                continue
            if any(self._grew(old, new) for old in parts for new in parts if old is not new):
                yield "dense"
                continue
            sources = [self.near(value) for value in parts]
            if len(parts) > 2 and len(set(sources)) > 2:
                yield "inception"
            elif len(parts) == 2 and self._is_fire(*sources):
                yield "fire"

    def _grew(self, old: Value, new: Value) -> bool:
        """Whether one feature map was made of the other by a layer."""
        return bool(self.before(new) >> old.producer & 1) and not self.near(new) <= self.near(old)

    def _is_fire(self, one: frozenset[int], other: frozenset[int]) -> bool:
        expanding = [self._op[index] for index in one | other]
        if len(one) != 1 or len(other) != 1 or one == other or any(op.name != "convolution" for op in expanding):
            return False
        squeezes = [self._above(op) for op in expanding]
        return squeezes[0] == squeezes[1] and sorted(map(_is_pointwise, expanding)) == [False, True] and all(
            _narrows(self._op[index]) for index in squeezes[0]
        )  # fmt: skip

    def is_shortcut(self, op: Op) -> bool:
        """Whether an operator adds to a feature map what convolutions made of it."""
        maps = sorted((value for value in op.data if _cells(value.distinct) > 1), key=lambda value: value.producer)
        return (
            op.name in _ADDING
            and len(maps) == 2
            and maps[0].shape == maps[1].shape
            and self.convolved(maps[1].producer)
        )

    def is_convolved_map(self, op: Op) -> bool:
        """Whether an operator makes a feature map of one that a convolution made, or is that convolution."""
        return self.convolved(op.index) and all(_is_map(shape) for shape in (op.shape, *(v.shape for v in op.data)))

    def convolved(self, index: int) -> bool:
        """Whether an operator's result comes from a convolution with no other layer between."""
        return any(self._op[near].name == "convolution" for near in self._near.get(index, ()))

    def gate(self, op: Op) -> str | None:
        """The kind of channel attention, of an operator that multiplies a feature map with a gate for every channel."""
        if op.name not in _MULTIPLYING or len(op.data) != 2:
            return None
        features, gate = sorted(op.data, key=lambda value: -_cells(value.distinct))
        weighs = _cells(features.distinct) > 1 == _cells(gate.distinct) and gate.distinct[1:2] == features.shape[1:2]
        if not weighs or len(gate.shape) != 4:
            return None
        own = self.before(gate) & ~self.before(features)
        between = [other for other in self.ops if own >> other.index & 1]
        if not any(other.name in _SQUASHING for other in between):
            return None
        if any(other.name in _MAXIMA for other in between):
            return "cbam"
        if any(other.name == "convolution" and len(other.shape) == 3 for other in between):
            return "eca"
        return "se" if any(_weight(other) is not None for other in between) else None


def _is_layer(op: Op) -> bool:
    if op.name == "convolution":
        return _cells(op.shape) > 1 and op.shape[1] > 1
    return op.name in PRODUCTS and _weight(op) is not None and len(op.shape) > 1 and op.shape[-2] > 1


def _weight(op: Op) -> Value | None:
    """What an operator multiplies its data with, where that is a weight."""
    if op.name != "convolution" and op.name not in PRODUCTS:
        return None
    weights = [value for value in op.inputs if not value.image and not value.words and len(value.shape) > 1]
    return weights[0] if weights and op.data else None


def _cells(shape: tuple[int, ...]) -> int:
    """Places of a feature map [B, C, H, W]; 0 for a tensor that is none."""
    return shape[2] * shape[3] if len(shape) == 4 else 0


def _is_map(shape: tuple[int, ...]) -> bool:
    """Whether a tensor is a feature map of more than one place, and more than the one channel of a map of weights."""
    return _cells(shape) > 1 < shape[1]


def _is_depthwise(op: Op) -> bool:
    return op.groups > 1 and op.groups == op.data[0].shape[1]


def _is_pointwise(op: Op) -> bool:
    weight = _weight(op)
    return weight is not None and all(size == 1 for size in weight.shape[2:])


def _channels(op: Op) -> tuple[int, int]:
    """How many channels a layer reads and writes."""
    side = 1 if op.name == "convolution" else -1
    return op.data[0].shape[side], op.shape[side]


def _widens(op: Op) -> bool:
    inside, outside = _channels(op)
    return _is_pointwise(op) and outside > inside


def _narrows(op: Op) -> bool:
    inside, outside = _channels(op)
    return _is_pointwise(op) and outside < inside
