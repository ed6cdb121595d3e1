"""Which code of a Net training need not come past.

Nets bring helpers along that nothing calls, and modes that nothing asks for. A wrong name there is worth a warning, not
a refusal: the Net trains all the same, and where it does not, building and running it tells. A definition counts as
reached as soon as its name occurs, as a name, an attribute or a text, in code that is reached.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache

from lemur_caption.contract.source_rules.library import dotted_path
from lemur_caption.contract.source_rules.parse import Source

_ROOTS = {"Net", "supported_hyperparameters"}
_LEMUR_CALLS = {"train_setup", "learn"}
# Called only to print a module, which training does not do.
_PRINTING = {"extra_repr", "__repr__", "__str__"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@lru_cache(maxsize=1)
def _called_by_torch() -> frozenset[str]:
    import torch

    return frozenset(dir(torch.nn.Module)) - _PRINTING


def avoidable(source: Source) -> list[tuple[int, int]]:
    """First and last lines of the code that a run need not come past.

    That is every definition that nothing reaches, what stands under a comparison with a text (`if mode == 'sync':`), and
    the handlers of exceptions.
    """
    spans = _unreached(source)
    for branch in source.find(ast.If):
        if _asks_for_mode(branch.test):
            spans.append((branch.body[0].lineno, branch.body[-1].end_lineno or 0))
    for handler in source.find(ast.ExceptHandler):
        spans.append((handler.lineno, handler.end_lineno or 0))
    return spans


def _asks_for_mode(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], (ast.Eq, ast.In)):
        return False
    return any(isinstance(node, ast.Constant) and isinstance(node.value, str) for node in ast.walk(test.comparators[0]))


def _unreached(source: Source) -> list[tuple[int, int]]:
    definitions = _top_level(source.tree.body)
    if not any(node.name == "Net" for node in definitions):
        return []
    waiting = list(definitions)
    methods_of: dict[ast.AST, ast.ClassDef] = {}
    for node in definitions:
        if isinstance(node, ast.ClassDef) and _plain(source, node, definitions):
            for method in node.body:
                if isinstance(method, _Function) and not _called_anyway(method.name):
                    waiting.append(method)
                    methods_of[method] = node
    units: set[ast.AST] = set(waiting)
    mentioned = set(_ROOTS) | _mentions(source.tree.body, units)
    grown = True
    while grown:
        grown = False
        for node in list(waiting):
            owner = methods_of.get(node)
            if node.name in mentioned and (owner is None or owner not in waiting):
                waiting.remove(node)
                mentioned |= _mentions([node], units - {node})
                grown = True
    return [_lines(node) for node in waiting]


def _called_anyway(name: str) -> bool:
    special = name.startswith("__") and name.endswith("__") and name not in _PRINTING
    return special or name in _LEMUR_CALLS or name in _called_by_torch()


def _lines(node: Definition) -> tuple[int, int]:
    return min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno or node.lineno


def _top_level(body: Iterable[ast.stmt]) -> list[Definition]:
    found: list[Definition] = []
    for node in body:
        if isinstance(node, _DEFINITIONS):
            found.append(node)
        elif isinstance(node, (ast.If, ast.Try)):
            found += _top_level(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))
    return found


def _plain(source: Source, node: ast.ClassDef, definitions: Iterable[ast.AST]) -> bool:
    """Whether only this file and nn.Module call a class's methods (autograd's Function, for one, calls `backward`)."""
    local = {d.name for d in definitions if isinstance(d, ast.ClassDef)}
    return all(
        (isinstance(base, ast.Name) and (base.id in local or base.id == "object"))
        or dotted_path(source, base) == "torch.nn.Module"
        for base in node.bases
    )


def _mentions(nodes: Iterable[ast.AST], units: set[ast.AST]) -> set[str]:
    """Every name, attribute and text in code, without the definitions that wait to be reached."""
    names: set[str] = set()
    stack = [node for node in nodes if node not in units]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            names.add(node.value)
        stack.extend(child for child in ast.iter_child_nodes(node) if child not in units)
    return names
