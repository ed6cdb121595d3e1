"""The space of designs: its JSON schema, its default, random draws, and short names for tables."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from ..errors import UsageError
from .design import CHOICES_BY_SIZE, Design


def choices(size: str = "pocket") -> dict[str, tuple[Any, ...]]:
    """Every field of a design of this size and the values it may take, in the order in which a design is written.

    Raises UsageError for an unknown size.
    """
    if size not in CHOICES_BY_SIZE:
        raise UsageError(f"unknown design size {size!r}: choose {' or '.join(CHOICES_BY_SIZE)}")
    found: dict[str, tuple[Any, ...]] = {}
    for name, field in Design.model_fields.items():
        if name in CHOICES_BY_SIZE[size]:
            found[name] = CHOICES_BY_SIZE[size][name]
        elif field.annotation is bool:
            found[name] = (False, True)
        else:
            found[name] = get_args(field.annotation)
    return found | {"size": (size,)}


def json_schema(size: str = "pocket", pinned: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """A JSON schema of the designs of one size: enumerations alone, every field required, none other allowed.

    `pinned` fields have the one value that they are given, or the few of a tuple. Raises UsageError for an unknown field,
    and for a value that is not in the space.
    """
    fields = choices(size)
    for name, given in pinned.items():
        values = given if isinstance(given, tuple) else (given,)
        for value in values:
            if value not in fields.get(name, ()):
                raise UsageError(f"{name} {value!r} is not in the space of {size} designs")
        fields[name] = values
    return {
        "type": "object",
        "properties": {name: {"enum": list(values)} for name, values in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def random_design(rng: random.Random, size: str = "pocket") -> Design:
    """A design with every field drawn uniformly (before normalization)."""
    return Design(**{name: rng.choice(values) for name, values in choices(size).items()})


def default_design(size: str = "pocket") -> Design:
    """A plain, strong design: residual encoder with squeeze-and-excitation, a fine grid, LSTM with dot-product attention."""
    fields = choices(size)
    middle = {name: fields[name][len(fields[name]) // 2] for name in ("depth", "width", "hidden_size", "heads", "lr")}
    return Design(
        size=fields["size"][0],
        block="residual",
        resolution="fine",
        channel_attention="se",
        memory="grid",
        decoder="lstm",
        attention="dot",
        layers=1,
        dropout="0.1",
        tied_embeddings=True,
        label_smoothing="0.0",
        momentum="0.9",
        **middle,
    )


def describe(design: Design) -> dict[str, str]:
    """Short names for a table: `encoder` like "residual+se fine grid", `decoder` like "lstm+dot 192"."""
    gate = "" if design.channel_attention == "none" else f"+{design.channel_attention}"
    fine = "fine " if design.resolution == "fine" else ""
    attends = "" if design.attention == "none" else f"+{design.attention}"
    layers = "" if design.layers == 1 else f"x{design.layers}"
    return {
        "encoder": f"{design.block}{gate} {fine}{design.memory}",
        "decoder": f"{design.decoder}{attends} {design.hidden_size}{layers}",
    }
