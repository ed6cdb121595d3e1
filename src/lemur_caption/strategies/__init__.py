"""From a language model to candidates: one strategy a module, all with the same signature."""

from __future__ import annotations

from ..errors import UsageError
from .base import Check, Request, Strategy
from .blocks import blocks_candidates
from .code import code_candidates
from .delta import delta_candidates
from .design import design_candidates

__all__ = [
    "STRATEGIES",
    "Check",
    "Request",
    "Strategy",
    "blocks_candidates",
    "code_candidates",
    "delta_candidates",
    "design_candidates",
    "get_strategy",
]

STRATEGIES: dict[str, Strategy] = {
    "code": code_candidates,
    "delta": delta_candidates,
    "blocks": blocks_candidates,
    "design": design_candidates,
}


def get_strategy(name: str) -> Strategy:
    """Raises UsageError for an unknown name."""
    if name not in STRATEGIES:
        raise UsageError(f"unknown strategy `{name}`; lemur-caption has {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
