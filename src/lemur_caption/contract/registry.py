"""All rules of the contract in one place, by id."""

from __future__ import annotations

from collections.abc import Iterable

from lemur_caption.contract import source_rules
from lemur_caption.contract.dynamic.rules import RULES as DYNAMIC_RULES
from lemur_caption.contract.rule import Rule
from lemur_caption.errors import UsageError


def _rules() -> dict[str, Rule]:
    every = [*source_rules.RULES, *DYNAMIC_RULES]
    table = {rule.id: rule for rule in sorted(every, key=lambda rule: rule.id)}
    if len(table) != len(every):
        raise ValueError("two rules of the contract share an id")
    return table


RULES: dict[str, Rule] = _rules()


def get_rule(rule_id: str) -> Rule:
    """The rule with this id. Raises UsageError for an unknown one."""
    rule = RULES.get(rule_id.upper())
    if rule is None:
        raise UsageError(f"there is no rule {rule_id!r}; the rules are {', '.join(RULES)}")
    return rule


def wanted(rule_id: str, select: Iterable[str] | None, ignore: Iterable[str] | None) -> bool:
    """Whether a selection by id or prefix ("LC1", "LC304") takes a rule in. The longer prefix wins; a tie ignores."""
    chosen = 0 if select is None else max((len(prefix) for prefix in select if rule_id.startswith(prefix)), default=-1)
    left_out = max((len(prefix) for prefix in ignore or () if rule_id.startswith(prefix)), default=-1)
    return chosen > left_out
