"""Finds a Net's twin among those that exist, from the cheapest comparison to the dearest."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ...errors import UsageError
from ...lemur.registry import code_id
from ...source.recipe import suggestions
from ...source.tree import parse
from .syntax import normal_form
from .text import Signature, signature, similarity, telling, tokens

Level = Literal["hash", "syntax", "structure", "similarity"]

# Of 128 hash functions at most three may disagree.
THRESHOLD = 0.97
_METHOD = re.compile(r"^[ \t]+(?:async )?def (\w+)", re.MULTILINE)
_LAYER = re.compile(r"\b(?:nn|F|torch)\.(\w+)\(")
_TOP = re.compile(r"^(?:def|class) ", re.MULTILINE)


@dataclass(frozen=True)
class Duplicate:
    """A Net's twin: its `name`, the `level` that found it, and how alike the texts are where that was asked."""

    level: Level
    name: str
    similarity: float = 1.0

    def __str__(self) -> str:
        ways = {
            "hash": "is {} but for white space",
            "syntax": "is {} in other words: their normalized syntax trees are equal",
            "structure": "computes what {} computes, operation for operation",
            "similarity": "is a near copy of {} (similarity {:.2f})",
        }
        return ways[self.level].format(self.name, self.similarity)


@dataclass
class _Net:
    """A Net and, each worked out when first asked for, what it is compared by."""

    name: str
    source: str
    fingerprint: str | None = None

    @cached_property
    def outline(self) -> tuple[str, ...]:
        """What no comparison of texts lets differ, read off at once: methods, layers, and how many definitions there are."""
        found = (sorted(pattern.findall(self.source)) for pattern in (_METHOD, _LAYER, _TOP))
        return tuple(" ".join(names) for names in found)

    @cached_property
    def form(self) -> str | None:
        return normal_form(self.source)

    @cached_property
    def numbers(self) -> object:
        """The numbers in the code and in its suggestions, or None where it cannot be read."""
        tree = parse(self.source)
        if tree is None:
            return None
        constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        return {repr(value) for value in constants if isinstance(value, (int, float, complex))}, suggestions(tree)

    # The tokens themselves, a hundred kilobytes a Net, are not kept.
    @cached_property
    def telling(self) -> bytes:
        return telling(tokens(self.source))

    @cached_property
    def signature(self) -> Signature:
        return signature(tokens(self.source))


class DuplicateFinder:
    """Tells whether a Net is one of those that are known already.

    Four levels, each asked only where the one before found nothing:

    - `hash`: equal but for white space, LEMUR's own identity of a Net;
    - `syntax`: equal normalized syntax trees (see `syntax`);
    - `structure`: equal fingerprints (see `contract.dynamic.fingerprint`), the same numbers in the text, and the same
      suggested hyperparameters;
    - `similarity`: texts at least `threshold` alike whose telling tokens are the same (see `text`), the same suggested
      hyperparameters, and no two fingerprints that differ. A threshold above 1 turns it off.

    A wrong verdict loses a Net and a missed one costs a training, so that every level would rather miss. `known` holds
    (name, source) pairs, of which the first of equal ones counts; they are read when first asked: hashes and outlines at once,
    the rest where there is something to compare with. `examine` gives the fingerprint of a known Net that came without:
    it is called for near copies alone. Raises UsageError for a threshold that is not above 0.
    """

    def __init__(
        self,
        known: Iterable[tuple[str, str]] = (),
        *,
        threshold: float = THRESHOLD,
        examine: Callable[[str], str | None] | None = None,
    ):
        if not threshold > 0:
            raise UsageError(f"a similarity threshold lies above 0 and up to 1, not at {threshold}")
        self.threshold = threshold
        self._examine = examine
        self._waiting = iter(known)
        self._by_hash: dict[str, _Net] = {}
        self._by_outline: dict[tuple[str, ...], list[_Net]] = defaultdict(list)
        self._by_fingerprint: dict[str, list[_Net]] = defaultdict(list)

    def add(self, name: str, source: str, fingerprint: str | None = None) -> None:
        """Make a Net known: candidates after it can be its duplicates."""
        self._index()
        self._add(_Net(name, source, fingerprint))

    def find(self, source: str, fingerprint: str | None = None) -> Duplicate | None:
        """The first twin of a Net, or None. `fingerprint` is its own, where the contract gave one."""
        self._index()
        net = _Net("", source, fingerprint)
        twin = self._by_hash.get(_hash(source))
        if twin is not None:
            return Duplicate("hash", twin.name)
        alike = self._by_outline.get(net.outline, [])
        for known in alike:
            if net.form is not None and net.form == known.form:
                return Duplicate("syntax", known.name)
        for known in self._by_fingerprint.get(fingerprint or "", []):
            if net.numbers is not None and net.numbers == known.numbers:
                return Duplicate("structure", known.name)
        return self._near_copy(net, alike)

    def _near_copy(self, net: _Net, alike: list[_Net]) -> Duplicate | None:
        for known in alike:
            if net.telling != known.telling or net.numbers is None or net.numbers != known.numbers:
                continue
            share = similarity(net.signature, known.signature)
            if share < self.threshold:
                continue
            if net.fingerprint is not None:
                if known.fingerprint is None and self._examine is not None:
                    known.fingerprint = self._examine(known.source)
                if known.fingerprint == net.fingerprint:
                    return Duplicate("structure", known.name, share)
                if known.fingerprint is not None:
                    continue
            return Duplicate("similarity", known.name, share)
        return None

    def _index(self) -> None:
        for name, source in self._waiting:
            self._add(_Net(name, source))

    def _add(self, net: _Net) -> None:
        self._by_hash.setdefault(_hash(net.source), net)
        self._by_outline[net.outline].append(net)
        if net.fingerprint is not None:
            self._by_fingerprint[net.fingerprint].append(net)


def _hash(source: str) -> str:
    # Half of a surrogate pair, which a model's answer may hold, has no bytes of its own.
    return code_id(source.encode("utf-8", "backslashreplace").decode("utf-8"))
