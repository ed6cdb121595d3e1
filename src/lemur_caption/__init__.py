"""lemur-caption: language models design image-captioning Nets for LEMUR under a strict API contract."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from .hookspecs import hookimpl

if TYPE_CHECKING:
    from .contract import ContractReport
    from .source.adapt import Adaptation

__all__ = ["adapt", "hookimpl", "register", "validate"]
__version__ = version("lemur-caption")


def register(root: Path | str | None = None, *, offline: bool = False) -> list[str]:
    """Register the captioning task with the LEMUR at `root` (default: where this process has LEMUR open, else here).

    Makes LEMUR's database where there is none. Returns what was written, empty when nothing was missing.
    Raises StoreError when the root cannot be used.
    """
    from .lemur import bootstrap, registry
    from .lemur.root import attach

    lemur = attach(root)
    bootstrap.ensure_database(lemur, offline=offline)
    return registry.register(lemur)


def validate(source: str | bytes) -> ContractReport:
    """Hold a Net's source against the contract, in a child process; see `lemur_caption.contract`."""
    from .contract import validate as check

    return check(source)


def adapt(source: str, *, random_weights: bool = False) -> Adaptation:
    """Rewrite an older LEMUR captioning Net so that today's LEMUR trains it; see `lemur_caption.source.adapt`.

    Raises AdaptError for what cannot be rewritten safely.
    """
    from .source.adapt import adapt as rewrite

    return rewrite(source, random_weights=random_weights)
