"""A Net's text as tokens: which of them tell Nets apart, and how alike two texts are.

The likeness is the Jaccard index of the sets of 5-token shingles, estimated by MinHash (Broder, "On the resemblance and
containment of documents", 1997): the share of 128 random hash functions whose smallest value the two sets share.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import keyword
import re
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
HASHES = 128

Signature = NDArray[np.uint32]

_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<string>[rRbBuUfF]{0,3}(?:'{3}.*?'{3}|\"{3}.*?\"{3}|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
    | (?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<operator>\*\*=?|//=?|<<=?|>>=?|[-+*/%@&|^=!<>:]=|->|[^\s\w])
    """,
    re.VERBOSE | re.DOTALL,
)
_PUNCTUATION = frozenset("()[]{},:;.=") | {"->"}


def tokens(source: str) -> list[str]:
    """The tokens without layout, comments and texts with blanks in them; numbers by their value."""
    found = []
    for match in _TOKEN.finditer(source):
        kind, text = match.lastgroup, match.group()
        if kind == "number":
            found.append(_value(text))
        elif kind == "string":
            found.append(text.strip("rRbBuUfF'\"") if not re.search(r"\s", text) else '""')
        elif kind != "comment":
            found.append(text)
    return found


def _value(text: str) -> str:
    try:
        return repr(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return text


def telling(words: list[str]) -> bytes:
    """A digest of the tokens that a Net's training hangs on: in their order in a definition, with the definitions in any.

    These are numbers, operators, keywords, names after a dot and names that are called: all but punctuation and the names
    of variables.
    """
    parts: list[list[str]] = [[]]
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in ("def", "class"):
            parts.append([])
        is_name = word.isidentifier() and not keyword.iskeyword(word)
        if word not in _PUNCTUATION and (not is_name or before == "." or after == "("):
            parts[-1].append(word)
    return hashlib.sha256(repr(sorted(parts)).encode("utf-8", "surrogatepass")).digest()


@functools.cache
def _functions() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    rng = np.random.default_rng(20)
    factors = rng.integers(1, 2**63, HASHES, dtype=np.uint64) | np.uint64(1)
    return factors, rng.integers(0, 2**63, HASHES, dtype=np.uint64)


def signature(words: list[str]) -> Signature:
    """The MinHash signature of a text's tokens, [HASHES]."""
    numbers = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words], dtype=np.uint64)
    numbers = np.pad(numbers, (0, max(SHINGLE - len(numbers), 0)))
    shingles = np.zeros(len(numbers) - SHINGLE + 1, dtype=np.uint64)
    for place in range(SHINGLE):
        shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + numbers[place : place + len(shingles)]
    factors, shifts = _functions()
    # Multiply-shift hashing: the upper half of a product modulo 2^64 is the hash.
    hashed = (np.unique(shingles)[:, None] * factors + shifts) >> np.uint64(32)
    smallest: Signature = hashed.min(axis=0).astype(np.uint32)
    return smallest


def similarity(one: Signature, other: Signature) -> float:
    """The estimated Jaccard index of two texts, in [0, 1]."""
    equal: Any = one == other
    return float(equal.mean())
