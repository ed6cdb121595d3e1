"""What a Net is: read from its run where it has trained, else from its design, else from its code."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .candidate import Candidate


@dataclass(frozen=True)
class Kinds:
    """A Net's parts. None is unknown; `read_from` says where they were read: `built`, `design` or `source`.

    `built` is the module as it ran after its training, see `lemur.structure`; `width` and `depth` are a design's.
    """

    encoder: str | None = None
    channel_attention: str | None = None
    memory: str | None = None
    memory_size: int | None = None
    decoder: str | None = None
    attention: str | None = None
    hidden_size: int | None = None
    layers: int | None = None
    heads: int | None = None
    tied_embeddings: bool | None = None
    channels: int | None = None
    cells: int | None = None
    encoder_layers: int | None = None
    width: int | None = None
    depth: int | None = None
    read_from: str = ""


# The parts by which Nets are compared.
PARTS = tuple(field.name for field in fields(Kinds) if field.name != "read_from")


def read_kinds(candidate: Candidate) -> Kinds:
    """The parts of a candidate's Net: as it ran, else as its design has it, else as its code says; unknown without any."""
    if candidate.parts is not None:
        return _of_built(candidate.parts, candidate.design or {})
    if candidate.design:
        return _of_design(candidate.design)
    if not candidate.source.strip():
        return Kinds()
    from .source.parts import Parts

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


def _of_built(parts: dict[str, Any], design: dict[str, Any]) -> Kinds:
    known = {field.name: parts[field.name] for field in fields(Kinds) if field.name in parts}
    if known.get("decoder") == "transformer":
        known["attention"] = "its own"
    return Kinds(**known, width=_number(design.get("width")), depth=_number(design.get("depth")), read_from="built")


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
        heads=_number(design.get("heads")) if decoder == "transformer" else None,
        tied_embeddings=design["tied_embeddings"] if isinstance(design.get("tied_embeddings"), bool) else None,
        width=_number(design.get("width")),
        depth=_number(design.get("depth")),
        read_from="design",
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
