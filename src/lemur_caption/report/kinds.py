"""What a Net is: from its design where it has one, else from the syntax tree of what its `Net` class uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..candidate import Candidate

# The parts by which Nets are compared.
PARTS = ("encoder", "channel_attention", "memory", "decoder", "attention", "hidden_size", "layers", "width", "depth")


@dataclass(frozen=True)
class Kinds:
    """A Net's parts. None is unknown; `read_from` says where they were read: `design` or `source`."""

    encoder: str | None = None
    channel_attention: str | None = None
    memory: str | None = None
    decoder: str | None = None
    attention: str | None = None
    hidden_size: int | None = None
    layers: int | None = None
    width: int | None = None
    depth: int | None = None
    read_from: str = ""


def read_kinds(candidate: Candidate) -> Kinds:
    """The parts of a candidate's Net; all unknown where it has no code."""
    if candidate.design:
        return _of_design(candidate.design)
    if not candidate.source.strip():
        return Kinds()
    from .syntax import Parts

    parts = Parts.of(candidate.source)
    if parts is None:
        return Kinds()
    decoder = parts.decoder()
    return Kinds(
        encoder=parts.encoder(),
        channel_attention=parts.channel_attention(),
        decoder=decoder,
        attention="its own" if decoder == "transformer" else parts.attention(),
        hidden_size=parts.hidden_size(),
        read_from="source",
    )


def _of_design(design: dict[str, Any]) -> Kinds:
    decoder = _text(design.get("decoder"))
    return Kinds(
        encoder=_text(design.get("block")),
        channel_attention=_text(design.get("channel_attention")),
        memory=_text(design.get("memory")),
        decoder=decoder,
        attention="its own" if decoder == "transformer" else _text(design.get("attention")),
        hidden_size=_number(design.get("hidden_size")),
        layers=_number(design.get("layers")),
        width=_number(design.get("width")),
        depth=_number(design.get("depth")),
        read_from="design",
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
