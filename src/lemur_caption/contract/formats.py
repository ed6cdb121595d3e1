"""Findings as text, as JSON, as SARIF 2.1.0 and as GitHub's annotations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from lemur_caption.contract.registry import RULES
from lemur_caption.contract.report import ContractReport, Finding
from lemur_caption.contract.rule import Rule

Reports = Mapping[str, ContractReport]

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def format_text(reports: Reports, rules: Mapping[str, Rule] = RULES) -> str:
    """A linter's lines, `file:line:column rule message`, each with its hint below; empty for sound files."""
    lines: list[str] = []
    for file, finding in _each(reports):
        place = ":".join(str(part) for part in (file, finding.line, finding.column) if part is not None)
        warning = "warning: " if finding.severity == "warning" else ""
        lines.append(f"{place} {finding.rule} {warning}{finding.message}")
        lines.append(f"    hint: {finding.hint}")
    return "".join(f"{line}\n" for line in lines)


def format_json(reports: Reports, rules: Mapping[str, Rule] = RULES) -> str:
    """A JSON list with `file`, `ok`, `outcome` and `findings` for each file, sound ones as well."""
    return json.dumps([{"file": file} | report.to_dict() for file, report in reports.items()], indent=2) + "\n"


def format_github(reports: Reports, rules: Mapping[str, Rule] = RULES) -> str:
    """GitHub's workflow commands, one line a finding, which a workflow shows beside the code."""
    return "".join(f"{_annotation(file, finding)}\n" for file, finding in _each(reports))


def format_sarif(reports: Reports, rules: Mapping[str, Rule] = RULES) -> str:
    """A SARIF 2.1.0 log with one run. `rules` describes the rules that occur; others are left without a description."""
    told = list(_each(reports))
    used = sorted({finding.rule for _, finding in told})
    driver = {
        "name": "lemur-caption",
        "version": metadata.version("lemur-caption"),
        "rules": [_sarif_rule(rule, rules.get(rule)) for rule in used],
    }
    results = [_sarif_result(file, finding, used.index(finding.rule)) for file, finding in told]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


FORMATS: dict[str, Callable[..., str]] = {
    "text": format_text,
    "json": format_json,
    "sarif": format_sarif,
    "github": format_github,
}


def _each(reports: Reports) -> Iterable[tuple[str, Finding]]:
    return ((file, finding) for file, report in reports.items() for finding in report.findings)


def _annotation(file: str, finding: Finding) -> str:
    properties: dict[str, object] = {"file": file, "line": finding.line, "col": finding.column, "title": finding.rule}
    pairs = ",".join(f"{key}={_escape_property(str(value))}" for key, value in properties.items() if value is not None)
    return f"::{finding.severity} {pairs}::{_escape_data(f'{finding.message}. {finding.hint}')}"


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")


def _sarif_rule(rule_id: str, rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {"id": rule_id}
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.name.replace("-", " ")},
        "fullDescription": {"text": rule.rationale},
        "help": {"text": rule.hint, "markdown": rule.page()},
        "defaultConfiguration": {"level": rule.severity},
    }


def _sarif_result(file: str, finding: Finding, index: int) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(PurePath(file).as_posix())}}
    if finding.line is not None:
        region = {"startLine": finding.line}
        if finding.column is not None:
            region["startColumn"] = finding.column
        place["region"] = region
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": f"{finding.message}. {finding.hint}"},
        "locations": [{"physicalLocation": place}],
    }
