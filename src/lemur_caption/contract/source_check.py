"""The static half of the contract: from a Net's text to its findings."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, Protocol

from lemur_caption.contract.registry import RULES, wanted
from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules import CHECKS
from lemur_caption.contract.source_rules.parse import SYNTAX, Source, parse
from lemur_caption.contract.source_rules.reach import avoidable
from lemur_caption.errors import UsageError

Profile = Literal["strict", "lenient"]

# What LEMUR runs although the paper's stricter form is not met.
LENIENT_OFF = frozenset({"LC107", "LC140"})
LENIENT_WARNINGS = frozenset({"LC106"})


# A wrong name matters where training comes past it; in code that a run need not reach it is worth a warning.
REACH_MATTERS = frozenset({"LC110", "LC111", "LC120", "LC121", "LC122", "LC130", "LC131", "LC132"})


class SourceRule(Protocol):
    """A source rule of another package."""

    @property
    def rule(self) -> Rule: ...

    def check(self, tree: ast.Module, source: str) -> Iterable[Finding]: ...


def check_selection(select: Iterable[str] | None, ignore: Iterable[str] | None, extra: Iterable[Rule] = ()) -> None:
    """Raises UsageError for an id or prefix that fits no rule."""
    known = [*RULES, *(rule.id for rule in extra)]
    for prefix in [*(select or ()), *(ignore or ())]:
        if not any(rule.startswith(prefix) for rule in known):
            raise UsageError(f"no rule starts with {prefix!r}; the rules are {', '.join(known)}")


def check_source(
    source: str | bytes,
    *,
    profile: Profile = "strict",
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    extra_rules: Iterable[SourceRule] = (),
) -> list[Finding]:
    """The findings of the source rules on a Net's text, in the order of the file. The text is never run.

    `select` and `ignore` take rule ids or prefixes of them; a file that does not parse is always reported. The lenient
    profile asks what LEMUR needs to run a Net and not the paper's stricter form. Raises UsageError for an unknown
    profile, id or prefix.
    """
    if profile not in ("strict", "lenient"):
        raise UsageError(f"the profile is 'strict' or 'lenient', not {profile!r}")
    select = None if select is None else tuple(select)
    ignore = tuple(ignore or ())
    extra = tuple(extra_rules)
    check_selection(select, ignore, [item.rule for item in extra])
    parsed = parse(source)
    if isinstance(parsed, Finding):
        return [parsed]
    lenient = profile == "lenient"
    off = LENIENT_OFF if lenient else frozenset()
    findings: list[Finding] = []
    try:
        for rules, check in CHECKS:
            if any(rule.id not in off and wanted(rule.id, select, ignore) for rule in rules):
                findings += check(parsed, lenient)
        for item in extra:
            findings += item.check(parsed.tree, parsed.text)
    except RecursionError:
        # The depth limit leaves room for every rule, but not where the caller's own stack is nearly spent.
        return [SYNTAX.finding(problem="the code nests too deeply to be checked")]
    findings = _spare_avoidable(parsed, findings)
    kept = {f for f in findings if f.rule not in off and wanted(f.rule, select, ignore)}
    if lenient:
        kept = {replace(f, severity="warning") if f.rule in LENIENT_WARNINGS else f for f in kept}
    return sorted(kept, key=lambda f: (f.line or 0, f.column or 0, f.rule, f.message))


def _spare_avoidable(source: Source, findings: list[Finding]) -> list[Finding]:
    if not any(finding.rule in REACH_MATTERS for finding in findings):
        return findings
    spans = avoidable(source)

    def spared(finding: Finding) -> bool:
        line = finding.line or 0
        return finding.rule in REACH_MATTERS and any(first <= line <= last for first, last in spans)

    return [replace(finding, severity="warning") if spared(finding) else finding for finding in findings]
