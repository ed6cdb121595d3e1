"""Putting together a Net that a response spread over several blocks."""

from __future__ import annotations

import ast
import builtins
import textwrap

from lemur_caption.source.extraction.survey import Survey
from lemur_caption.source.fixups.edits import Text, after_imports
from lemur_caption.source.fixups.imports import USUAL, unbound_names
from lemur_caption.source.fixups.scan import parse

_MOST_ADDED = 20


def completed(code: str, chosen: Survey, others: list[Survey]) -> tuple[str, list[str]]:
    """The chosen block with the classes, functions and constants that it uses and only other blocks define, and with
    the Net's methods that came in blocks of their own; and the names of what was added.

    Of several definitions the last is taken. The block is returned unchanged where nothing is to be added.
    """
    if not chosen.parses:
        return code, []
    added: list[str] = []
    text = chosen.text
    for name, method in _loose_methods(others).items():
        if chosen.net is not None and name not in _methods(text, chosen.net_name):
            text = _with_method(text, chosen.net_name, method)
            added.append(name)
    while len(added) < _MOST_ADDED:
        unknown = unbound_names(text) - set(USUAL) - set(dir(builtins)) - set(added)
        found = next(((name, source) for name in sorted(unknown) if (source := _definition(name, others))), None)
        if found is None:
            break
        added.append(found[0])
        text = _with_definition(text, found[1])
    return (text, added) if added else (code, [])


def _definition(name: str, surveys: list[Survey]) -> str | None:
    for survey in reversed(surveys):
        for node in reversed(survey.body):
            if survey.parses and _defines(node, name):
                return _segment(survey, node)
    return None


def _defines(node: ast.stmt, name: str) -> bool:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return node.name == name
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)


def _loose_methods(surveys: list[Survey]) -> dict[str, str]:
    """The methods that stand in no class, by name; blocks with a class are versions of their own."""
    methods = {}
    for survey in surveys:
        for node in survey.body if survey.parses and survey.net is None else ():
            if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args[:1]] == ["self"]:
                methods[node.name] = _segment(survey, node)
    return methods


def _segment(survey: Survey, node: ast.stmt) -> str:
    text = Text(survey.text)
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return survey.text[text.line_start(first) : text.span(node)[1]] + "\n"


def _methods(text: str, net: str) -> set[str]:
    node = _class(text, net)
    return {each.name for each in node.body if isinstance(each, ast.FunctionDef)} if node else set()


def _class(text: str, name: str) -> ast.ClassDef | None:
    tree = parse(text)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name] if tree else []
    return classes[-1] if classes else None


def _with_method(text: str, net: str, method: str) -> str:
    node = _class(text, net)
    if node is None:
        return text
    source = Text(text)
    end = source.span(node)[1]
    return source.replaced([(end, end, "\n\n" + textwrap.indent(method, " " * node.body[0].col_offset).rstrip())])


def _with_definition(text: str, definition: str) -> str:
    tree = parse(text)
    if tree is None:
        return text
    source = Text(text)
    at = source.line_start(after_imports(tree))
    return source.replaced([(at, at, f"\n\n{definition}\n\n" if at else f"{definition}\n\n")])
