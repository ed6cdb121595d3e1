"""What a captioning Net is, read from one run of the built module: FLOPs, and parts found by what operators do.

`run` records the operators of one teacher-forced forward, `flops` counts them, `encoder` and `decoder` find parts in the
recording. No part is read from a name that the Net's author chose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import decoder, encoder

if TYPE_CHECKING:
    import torch

Parts = dict[str, str | int | bool | None]
PARTS = (*encoder.PARTS, *decoder.PARTS)
_LONGEST_TEXT = 40


def describe(net: torch.nn.Module, image: torch.Tensor, caption: torch.Tensor) -> tuple[int, Parts]:
    """FLOPs and parts of `net`, from its teacher-forced forward of an image [1, C, H, W] and a caption [1, T] of ids.

    See `flops.count` for what FLOPs are, `encoder.find` and `decoder.find` for the parts. A part that cannot be told is
    `other` or None. The Net is in evaluation mode meanwhile, with torch's fused attention off, and no gradients are made.
    Raises what the Net raises.
    """
    from .run import record

    recording = record(net, image, caption)
    return recording.flops, encoder.find(recording.ops) | decoder.find(recording)


def checked(flops: Any, parts: Any) -> tuple[int | None, Parts | None]:
    """`describe`'s answer as it came from a process that a stranger's Net could write to. Raises ValueError."""
    if flops is None and parts is None:
        return None, None
    plain = isinstance(parts, dict) and all(
        key in PARTS
        and (
            value is None
            or (isinstance(value, int) and 0 <= value < 2**63)
            or (isinstance(value, str) and len(value) <= _LONGEST_TEXT)
        )
        for key, value in parts.items()
    )
    if not plain or not isinstance(flops, int) or isinstance(flops, bool) or not 0 <= flops < 2**63:
        raise ValueError("FLOPs are a count, and parts are known names with short values")
    return flops, parts
