"""What a search is made of, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..candidate import Candidate, Epoch
from ..contract import ContractReport
from ..generator.base import Generator
from ..strategies import Strategy
from .executors import Executor
from .feedback import Policy
from .records import Records

if TYPE_CHECKING:
    from ..lemur.store import Store


@dataclass(frozen=True)
class Event:
    """Something to show: `kind` is `checked`, `epoch` or `ended`."""

    kind: str
    index: int
    candidate: Candidate
    epoch: Epoch | None = None


@dataclass(frozen=True)
class Parts:
    """The rooms that a search uses. `data` is a folder in COCO layout."""

    store: Store
    records: Records
    generator: Generator
    strategy: Strategy
    pool: Sequence[tuple[str, str]]
    check: Callable[[str], ContractReport]
    executor: Executor
    policy: Policy
    data: str
