"""From a design to the source of its Net: one stand-alone file, the same for the same design.

The templates in `templates/net` hold the code, one block or decoder each; this module decides the sizes that they
are rendered with. A rendered file holds only what its design uses.
"""

from __future__ import annotations

import textwrap
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .design import Design

# By size: the encoder's stages, the side of the memory grid, how much wider a Transformer decoder's feed-forward
# layers are, and the width of additive attention. At 64 px a coarse pocket encoder ends on 4x4 cells, at 224 px a coarse
# full one on 7x7, and a fine one on twice as many a side; whatever the image, the features are pooled to the grid, so that
# memory does not grow with the pixels.
_SCALE = {
    "pocket": {"stages": 3, "grid": 4, "feed_forward": 2, "attention_size": 128},
    "full": {"stages": 4, "grid": 7, "feed_forward": 4, "attention_size": 256},
}

# ViT, by size: channels as a multiple of `width`, patches a side, channels of an attention head, and how much wider
# the perceptrons are.
_VIT = {
    "pocket": {"channels": 3, "patches": 8, "head": 24, "expansion": 2},
    "full": {"channels": 6, "patches": 14, "head": 48, "expansion": 4},
}

# Channels of the first stage as a multiple of `width`; every later stage has twice as many. Blocks that are cheap for
# their width get more of it.
_WIDENING = {"residual": 1, "mbconv": 1, "convnext": 1, "dense": 2, "inception": 2, "fire": 2}

_GATES = {"none": "", "se": "SqueezeExcitation", "cbam": "CBAM", "eca": "EfficientChannelAttention"}

_BLOCK_NAMES = {
    "residual": "residual",
    "mbconv": "MBConv",
    "convnext": "ConvNeXt",
    "dense": "dense",
    "inception": "inception",
    "fire": "fire (SqueezeNet)",
    "vit": "ViT",
}

_GATE_NAMES = {
    "none": "",
    "se": " with squeeze-and-excitation",
    "cbam": " with CBAM",
    "eca": " with efficient channel attention",
}


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("lemur_caption", "templates/net"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(design: Design) -> str:
    """The complete source of the design's Net: needs torch alone, formatted, and equal for equal designs."""
    title, about = _words(design)
    return (
        _environment()
        .get_template("net.py.jinja")
        .render(
            d=design,
            title=title,
            about=about,
            gate=_GATES[design.channel_attention],
            constants=_constants(design),
            grid=_SCALE[design.size]["grid"],
            feed_forward=_SCALE[design.size]["feed_forward"],
            # Below this a coarse encoder of four stages would end on a single cell.
            smallest_image=64
            if (design.size, design.resolution) == ("full", "coarse") and design.block != "vit"
            else 32,
            **_encoder_sizes(design),
        )
    )


def _encoder_sizes(design: Design) -> dict[str, Any]:
    """Channels of the encoder's parts: `stem` and `stages` (inputs, outputs, stride), `channels` out."""
    width = design.width
    if design.block == "vit":
        outputs = [width, 2 * width] + ([4 * width] if design.size == "full" else [])
        stem = [(a, b, 2) for a, b in zip([None, *outputs], outputs, strict=False)]
        return {"stem": stem, "stages": [], "channels": _VIT[design.size]["channels"] * width}
    outputs = [width * _WIDENING[design.block] * 2**i for i in range(_SCALE[design.size]["stages"])]
    stages = [(a, b, 2 if i else 1) for i, (a, b) in enumerate(zip([width, *outputs], outputs, strict=False))]
    stem = [(None, width, 2)] if design.resolution == "fine" else [(None, width // 2, 2), (width // 2, width, 2)]
    return {"stem": stem, "stages": stages, "channels": outputs[-1]}


def _constants(design: Design) -> dict[str, str]:
    """The module constants of the rendered file, in order; only those that its code reads."""
    scale, recurrent = _SCALE[design.size], design.decoder != "transformer"
    found: dict[str, object] = {}
    if design.block == "vit":
        vit = _VIT[design.size]
        found["PATCHES"] = vit["patches"]
        found["CHANNELS"] = vit["channels"] * design.width
        found["HEAD_SIZE"] = vit["head"]
        found["EXPANSION"] = vit["expansion"]
        found["DEPTH"] = design.depth + 1 if design.size == "pocket" else 4 * design.depth
    else:
        found["DEPTH"] = design.depth
    if design.block in ("mbconv", "convnext"):
        found["EXPANSION"] = 4
    if design.memory == "grid":
        found["GRID"] = scale["grid"]
    if design.attention == "additive":
        found["ATTENTION_SIZE"] = scale["attention_size"]
    elif recurrent and design.attention == "none" and design.memory == "grid":
        found["CELL_SIZE"] = 64
    found["HIDDEN_SIZE"] = design.hidden_size
    found["LAYERS"] = design.layers
    if not recurrent:
        found["HEADS"] = design.heads
    found["DROPOUT"] = design.dropout
    if design.label_smoothing != "0.0":
        found["LABEL_SMOOTHING"] = design.label_smoothing
    return {name: str(value) for name, value in found.items()}


def _words(design: Design) -> tuple[str, str]:
    """What the file's docstring says of the design: a title, and two sentences, wrapped."""
    decoder = "Transformer" if design.decoder == "transformer" else design.decoder.upper()
    block = _BLOCK_NAMES[design.block]
    title = f"{block} encoder, {decoder} decoder"
    if design.memory == "token":
        memory = "one memory token"
    else:
        side = _SCALE[design.size]["grid"]
        memory = f"a {side}x{side} grid of memory tokens"
    encoder = f"The encoder stacks {block} blocks{_GATE_NAMES[design.channel_attention]} and hands on {memory}."
    if design.decoder == "transformer":
        reads = "attends to them" if design.memory == "grid" else "adds it to every word"
    elif design.attention != "none":
        reads = f"looks at them through {'dot-product' if design.attention == 'dot' else 'additive'} attention"
    else:
        reads = "reads a summary of them" if design.memory == "grid" else "reads it at every word"
    layers = "one layer" if design.layers == 1 else f"{design.layers} layers"
    return title, textwrap.fill(
        f"{encoder} The {decoder} decoder ({layers} of {design.hidden_size}) {reads}.", width=110
    )
