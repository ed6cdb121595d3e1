"""The rules that read a Net's text and never run it: LC1xx, and LC6xx as far as the text shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules import api, module_work, names, nngpt, parse, safety, torch_calls, torch_names

RULES: tuple[Rule, ...] = (
    parse.SYNTAX,
    *api.RULES,
    *nngpt.RULES,
    *torch_names.RULES,
    *torch_calls.RULES,
    *names.RULES,
    *module_work.RULES,
    *safety.RULES,
)

Check = Callable[[parse.Source, bool], Iterator[Finding]]


def _always(check: Callable[[parse.Source], Iterator[Finding]]) -> Check:
    return lambda source, lenient: check(source)


# Each check with the rules it tells, so that a selection skips the work of the others.
CHECKS: tuple[tuple[tuple[Rule, ...], Check], ...] = (
    ((api.NET_CLASS, api.METHODS, api.ARGUMENTS), api.check_net),
    ((api.HYPERPARAMETERS, api.USED), api.check_hyperparameters),
    (nngpt.RULES, nngpt.check),
    (torch_names.RULES, _always(torch_names.check)),
    (torch_calls.RULES, _always(torch_calls.check)),
    ((names.UNDEFINED, names.LOCAL), _always(names.check_names)),
    ((names.ATTRIBUTE,), _always(names.check_attributes)),
    (module_work.RULES, _always(module_work.check)),
    (safety.RULES, safety.check),
)
