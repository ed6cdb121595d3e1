"""Images of sample captions, small enough to lie inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

SIDE = 176
_MOST_BYTES = 40_000


def inlined(folder: Path | None, name: str) -> str | None:
    """A data URI of a validation image at most SIDE pixels wide and high; None where it is not there or no image.

    Only files right in the split's folder are read, whatever a record names.
    """
    if folder is None or not name or Path(name).name != name:
        return None
    path = folder / "val2017" / name
    if not path.is_file():
        return None
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.draft("RGB", (SIDE, SIDE))
            small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=80)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        # A caption says something without its image too.
        return None
    content = stream.getvalue()
    if len(content) > _MOST_BYTES:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"
