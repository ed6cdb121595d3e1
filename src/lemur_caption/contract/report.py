"""What the contract says of one Net: its findings, its outcome, and how it was examined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lemur_caption.candidate import Outcome

Severity = Literal["error", "warning"]

PARSE_RULE = "LC101"
SAFETY_PREFIX = "LC6"


@dataclass(frozen=True)
class Finding:
    """One place where a Net breaks a rule. `line` and `column` count from 1; None where no place is to blame."""

    rule: str
    message: str
    hint: str
    line: int | None = None
    column: int | None = None
    severity: Severity = "error"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def outcome_of(findings: Iterable[Finding]) -> Outcome | None:
    """The outcome that findings alone give: None without errors, else `unsafe`, `syntax` or `contract`, first that fits.

    Safety is told by the rule number, LC6xx, so that a plug-in's safety rules count as well.
    """
    errors = [finding.rule for finding in findings if finding.severity == "error"]
    if not errors:
        return None
    if any(rule.startswith(SAFETY_PREFIX) for rule in errors):
        return Outcome.UNSAFE
    return Outcome.SYNTAX if PARSE_RULE in errors else Outcome.CONTRACT


@dataclass
class ContractReport:
    """The contract's verdict on one Net.

    `ok` means no finding of severity error, and then `outcome` is None. `protections` says which of the sandbox's
    protections were in force; `seconds` is wall time, also by stage in `stages`. `fingerprint` is what a sound Net computes, as
    a digest (see `contract.dynamic.fingerprint`), where one could be had.
    """

    ok: bool
    outcome: Outcome | None
    findings: list[Finding]
    protections: dict[str, bool | str] = field(default_factory=dict)
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    fingerprint: str | None = None

    @classmethod
    def of(
        cls,
        findings: Iterable[Finding],
        *,
        outcome: Outcome | None = None,
        protections: dict[str, bool | str] | None = None,
        seconds: float = 0.0,
        stages: dict[str, float] | None = None,
    ) -> ContractReport:
        """A report whose `ok` and `outcome` follow from its findings; `outcome` overrides (timeout, out of memory, …)."""
        found = list(findings)
        ended = outcome or outcome_of(found)
        return cls(ended is None, ended, found, protections or {}, seconds, stages or {})

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy; `outcome` as its text or None."""
        return {
            "ok": self.ok,
            "outcome": self.outcome.value if self.outcome else None,
            "findings": [finding.to_dict() for finding in self.findings],
            "protections": dict(self.protections),
            "seconds": self.seconds,
            "stages": dict(self.stages),
            "fingerprint": self.fingerprint,
        }
