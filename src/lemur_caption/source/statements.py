"""The top-level statements of a source: their texts, what they bind, which ones others use, and new names for them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lemur_caption.source.extraction.survey import survey
from lemur_caption.source.fixups.edits import Text
from lemur_caption.source.fixups.scan import parse


@dataclass(frozen=True)
class Statement:
    """A top-level statement, its text, and the names that it binds."""

    node: ast.stmt
    text: str
    names: tuple[str, ...]


def statements_of(code: str) -> list[Statement]:
    """The definitions and assignments at the top level, of code that does not parse those that do."""
    found = survey(code)
    text = Text(found.text)
    statements = []
    for node in found.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names: tuple[str, ...] = (node.name,)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = tuple(part.id for each in targets for part in ast.walk(each) if isinstance(part, ast.Name))
        else:
            continue
        if not found.parses:
            statements.append(Statement(node, ast.unparse(node), names))
            continue
        start, end = text.span(node)
        if decorators := getattr(node, "decorator_list", []):
            start = text.line_start(decorators[0].lineno)
        statements.append(Statement(node, found.text[start:end], names))
    return statements


def classes_of(statements: Sequence[Statement]) -> dict[str, ast.ClassDef]:
    return {each.node.name: each.node for each in statements if isinstance(each.node, ast.ClassDef)}


def used_by(scope: Sequence[Statement], names: Iterable[str]) -> list[Statement]:
    """The statements that bind `names`, and those whose names they use, in their order; of two that bind one the last."""
    binding = {name: statement for statement in scope for name in statement.names}
    waiting, seen = list(names), set[str]()
    taken: list[Statement] = []
    while waiting:
        name = waiting.pop()
        if name in seen or name not in binding:
            continue
        seen.add(name)
        taken.append(binding[name])
        waiting += [node.id for node in ast.walk(binding[name].node) if isinstance(node, ast.Name)]
    return [statement for statement in scope if any(statement is each for each in taken)]


def renamed(statement: Statement, names: Mapping[str, str]) -> str:
    """A statement's text with other names for those that the skeleton has taken."""
    tree = parse(statement.text) if names else None
    if tree is None:
        return statement.text
    text = Text(statement.text)
    edits = [
        (start, start + len(node.id), names[node.id])
        for node in _free_names(tree, frozenset(names))
        for start in [text.span(node)[0]]
    ]
    node = tree.body[0]
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in names:
        at = text.line_start(node.lineno)
        word = re.compile(rf"\b{re.escape(node.name)}\b").search(statement.text, at)
        edits += [(word.start(), word.end(), names[node.name])] if word else []
    return text.replaced(edits)


def _free_names(node: ast.AST, wanted: frozenset[str]) -> list[ast.Name]:
    """The mentions of `wanted` names, but not where they are a function's parameters."""
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        wanted -= {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
    found = [node] if isinstance(node, ast.Name) and node.id in wanted else []
    return found + [each for child in ast.iter_child_nodes(node) for each in _free_names(child, wanted)]
