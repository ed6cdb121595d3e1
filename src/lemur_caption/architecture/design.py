"""A captioning Net's design: which encoder, which decoder, how trained.

All values are enumerated, and numbers with a fraction are strings, so that a small language model can
write a design under constrained decoding. Fields that have no meaning beside the others are set to a fixed
value instead of refused: designs that mean the same are equal, and render to the same source.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import UsageError

Size = Literal["pocket", "full"]

# What depends on the size: `pocket` trains on a CPU at 64 px, `full` is the paper's scale. Every number of heads
# divides every hidden size of its size.
CHOICES_BY_SIZE: dict[str, dict[str, tuple[int | str, ...]]] = {
    "pocket": {
        "depth": (1, 2),
        "width": (16, 24, 32),
        "hidden_size": (128, 192, 256),
        "layers": (1, 2),
        "heads": (2, 4, 8),
        # A few epochs of a small set are about 150 steps: smaller rates do not get anywhere in them.
        "lr": ("0.001", "0.002", "0.003"),
    },
    "full": {
        "depth": (2, 3),
        "width": (32, 48, 64),
        "hidden_size": (640, 768, 1024),
        "layers": (1, 2, 3),
        "heads": (4, 8, 16),
        "lr": ("0.0003", "0.0005", "0.001"),
    },
}


class Design(BaseModel):
    """One point of the design space.

    Normalized on the way in, so that equal meaning is equality:

    - a Transformer decoder has attention of its own: `attention` becomes "none";
    - a recurrent decoder has no heads: `heads` becomes the smallest choice;
    - attention over one memory token would always answer that token: with `memory` "token", `attention` becomes "none";
    - a ViT works on a fixed number of patches, however fine the features that they are made of: its `resolution`
      becomes "coarse";
    - MBConv comes with squeeze-and-excitation: its `channel_attention` "none" becomes "se".

    Designs that were recorded before there was a `resolution` are "coarse".
    Raises pydantic's ValidationError for anything else that is not in the space; `from_json` says it in a line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: Size = Field(description="pocket: CPU, 64 px; full: GPU, the paper's scale")
    block: Literal["residual", "mbconv", "convnext", "dense", "inception", "fire", "vit"] = Field(
        description="building block of the image encoder"
    )
    depth: int = Field(description="blocks a stage")
    width: int = Field(description="channels of the first stage")
    # A language model has to name it (`json_schema`); the default is for old records.
    resolution: Literal["coarse", "fine"] = Field(
        default="coarse", description="features before they are pooled: fine has twice as many a side"
    )
    channel_attention: Literal["none", "se", "cbam", "eca"] = Field(description="attention over encoder channels")
    memory: Literal["token", "grid"] = Field(description="what the decoder reads: one token or a grid of them")
    decoder: Literal["lstm", "gru", "transformer"]
    attention: Literal["none", "additive", "dot"] = Field(description="how a recurrent decoder looks at the grid")
    hidden_size: int
    layers: int = Field(description="decoder layers")
    heads: int = Field(description="attention heads of a Transformer decoder")
    dropout: Literal["0.0", "0.1", "0.2", "0.3"]
    tied_embeddings: bool = Field(description="the output layer shares the word embedding's weights")
    label_smoothing: Literal["0.0", "0.05", "0.1"]
    lr: Literal["0.0003", "0.0005", "0.001", "0.002", "0.003"]
    momentum: Literal["0.8", "0.9", "0.95"]

    @model_validator(mode="before")
    @classmethod
    def _normalize(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        # Only values of the space are replaced: a misspelt one must still be refused.
        needs_none = data.get("decoder") == "transformer" or data.get("memory") == "token"
        if needs_none and data.get("attention") in ("additive", "dot"):
            data["attention"] = "none"
        if data.get("block") == "vit" and data.get("resolution") == "fine":
            data["resolution"] = "coarse"
        if data.get("block") == "mbconv" and data.get("channel_attention") == "none":
            data["channel_attention"] = "se"
        heads = CHOICES_BY_SIZE.get(str(data.get("size")), {}).get("heads", ())
        if data.get("decoder") in ("lstm", "gru") and data.get("heads") in heads:
            data["heads"] = heads[0]
        return data

    @model_validator(mode="after")
    def _in_size(self) -> Design:
        for name, choices in CHOICES_BY_SIZE[self.size].items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} is {value}, but {self.size} designs take {', '.join(map(str, choices))}")
        return self

    @classmethod
    def from_json(cls, text: str) -> Design:
        """The design in a JSON text. Raises UsageError with one line that names the first field at fault."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            message = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"not a design: {where + ': ' if where else ''}{message}") from error
