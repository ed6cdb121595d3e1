"""Reading image files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image, ImageFile

from lemur_caption.dataset.annotations import one_line
from lemur_caption.errors import DatasetError

# What Pillow's decoders raise for a damaged file.
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class BatchError(DatasetError):
    """An image or a batch that cannot be read while training runs.

    A DataLoader worker hands its exception on as the class called with a whole traceback; the last line of that is the message.
    """

    def __init__(self, message: str) -> None:
        last = message.strip().splitlines()[-1]
        super().__init__(last.removeprefix(f"{type(self).__module__}.{type(self).__qualname__}: "))


def read_image(path: Path, draft: int | None = None) -> Image.Image:
    """The decoded image in RGB, whatever mode or format the file has.

    With `draft` a JPEG may come smaller, but no smaller than `draft` pixels a side: the whole file is still read, faster.
    Raises BatchError for a file that is absent, truncated or no image.
    """
    # Another package may have asked Pillow to fill what is missing from a truncated file with grey.
    tolerant = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(path) as image:
            if draft is not None:
                image.draft("RGB", (draft, draft))
            return image.convert("RGB")
    except FileNotFoundError:
        raise BatchError(f"image {path} is missing: restore it, or remove it from the caption file") from None
    except _DECODE_ERRORS as error:
        raise BatchError(f"image {path} is damaged ({one_line(error)}): copy it again from its source") from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant
