"""The contract: what a captioning Net must keep, known before any training.

`check_source` reads a Net's text; `validate` also builds and runs it, in a sandbox. Both report by rule, LCxxx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lemur_caption.contract.registry import RULES, get_rule
from lemur_caption.contract.report import ContractReport, Finding, outcome_of
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_check import SourceRule, check_source

if TYPE_CHECKING:
    from lemur_caption.contract.validator import validate

__all__ = [
    "RULES",
    "ContractReport",
    "Finding",
    "Rule",
    "SourceRule",
    "check_source",
    "get_rule",
    "outcome_of",
    "validate",
]


def __getattr__(name: str) -> Any:
    # The sandbox's machinery loads only for those who run a Net.
    if name == "validate":
        from lemur_caption.contract.validator import validate

        return validate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
