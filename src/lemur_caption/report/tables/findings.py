"""What the contract found, by rule, over all rounds, and what repairs did about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..source import Net, Source
from ..table import Column, Table


def rounds(net: Net) -> Iterator[list[dict[str, Any]]]:
    """The findings of a candidate's answer, then of what each repair made of it.

    A round that brought no code leaves what was found before.
    """
    candidate = net.entry.candidate
    for repair in candidate.repairs:
        yield repair.findings
    yield candidate.findings


def table(source: Source) -> Table:
    columns = (
        Column("rule", "rule"),
        Column("name", "what it asks"),
        Column("severity", "severity"),
        Column("nets", "candidates", "count"),
        Column("findings", "findings", "count"),
        Column("sent_back", "sent back for repair", "count"),
        Column("mended", "gone after the repair", "count"),
        Column("example", "the first of them"),
        Column("message", "what it said"),
    )
    found: dict[str, dict[str, Any]] = {}
    for net in source.candidates:
        all_rounds = list(rounds(net))
        seen = set()
        for number, findings in enumerate(all_rounds):
            rules = {str(finding.get("rule", "")) for finding in findings}
            for finding in findings:
                rule = str(finding.get("rule", ""))
                row = found.setdefault(rule, _new(rule, finding, net))
                row["findings"] += 1
                seen.add(rule)
            repair = net.entry.candidate.repairs[number] if number < len(all_rounds) - 1 else None
            if repair is not None and not repair.note.startswith("not asked"):
                after = {str(finding.get("rule", "")) for finding in all_rounds[number + 1]}
                worked = bool(repair.source)
                for rule in rules:
                    found[rule]["sent_back"] += 1
                    found[rule]["mended"] += worked and rule not in after
        for rule in seen:
            found[rule]["nets"] += 1
    rows = sorted(found.values(), key=lambda row: (-row["nets"], row["rule"]))
    note = "`lemur-caption rule ID` explains a rule. A rule counts once a candidate, its findings one by one over all rounds."
    return Table("findings", "Findings of the contract", columns, rows, note)


def _new(rule: str, finding: dict[str, Any], net: Net) -> dict[str, Any]:
    from ...contract.registry import RULES

    # Rules of plug-ins are not among ours.
    name = RULES[rule].name if rule in RULES else ""
    severity = str(finding.get("severity", "error"))
    message = str(finding.get("message", ""))
    return {"rule": rule, "name": name, "severity": severity, "nets": 0, "findings": 0, "sent_back": 0, "mended": 0} | {
        "example": net.id,
        "message": message,
    }
