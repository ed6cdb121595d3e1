"""A file of named arrays that is either whole or refused, read through a memory map.

Layout: magic, checksum of all that follows, length of the header, header (JSON), arrays, each at a multiple of 64 bytes.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"LMRCAPT1"
CHECKSUM_BYTES = 32
_PREFIX = len(MAGIC) + CHECKSUM_BYTES + 8
_ALIGNMENT = 64


class TornFile(ValueError):
    """The file is not what `write_arrays` wrote: cut off, changed or something else."""


def write_arrays(path: Path, info: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays of numbers, of any shape, and `info` (JSON) to a new file. Raises OSError."""
    placed: dict[str, Any] = {}
    offset = 0
    for name, array in arrays.items():
        placed[name] = [array.dtype.str, array.shape, offset]
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    header = json.dumps({"info": info, "arrays": placed}).encode()
    header += b" " * (-(_PREFIX + len(header)) % _ALIGNMENT)
    pieces = [len(header).to_bytes(8, "little"), header]
    for array in arrays.values():
        pieces += [np.ascontiguousarray(array).tobytes(), bytes(-array.nbytes % _ALIGNMENT)]
    checksum = blake2b(digest_size=CHECKSUM_BYTES)
    for piece in pieces:
        checksum.update(piece)
    with path.open("wb") as file:
        file.writelines([MAGIC, checksum.digest(), *pieces])


def read_arrays(path: Path) -> tuple[bytes, dict[str, Any], dict[str, np.ndarray]]:
    """The checksum of an intact file, its `info`, and its arrays, which share the file's pages with all processes that map it.

    The whole file is read once to compare the checksum. Raises FileNotFoundError, another OSError, and TornFile.
    """
    with path.open("rb") as file:
        try:
            # A private map: arrays count as writable, which torch asks for, and what is written stays in this process.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except ValueError as error:
            raise TornFile(f"{path} is empty") from error
    checksum = content[len(MAGIC) : len(MAGIC) + CHECKSUM_BYTES]
    view = memoryview(content)[len(MAGIC) + CHECKSUM_BYTES :]
    if content[: len(MAGIC)] != MAGIC or blake2b(view, digest_size=CHECKSUM_BYTES).digest() != checksum:
        raise TornFile(f"{path} is damaged")
    # From here on the file is known to be as it was written.
    length = int.from_bytes(view[:8], "little")
    header = json.loads(bytes(view[8 : 8 + length]))
    arrays = {
        name: np.ndarray(tuple(shape), np.dtype(kind), content, _PREFIX + length + offset)
        for name, (kind, shape, offset) in header["arrays"].items()
    }
    return checksum, header["info"], arrays
