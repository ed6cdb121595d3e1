"""Source cut to a size at the borders of its syntax tree, so that what is left still parses."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

ESSENTIAL_METHODS = ("__init__", "forward")
LOGGING = ("_log_api_usage_once", "print", "warnings.warn")
LEAST_LAYERS = 3  # only a literal sequence of so many items and
LEAST_SEQUENCE = 60  # so many characters is cut
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Excerpt:
    """Source that parses, and what was left out of it, in words (empty where nothing was)."""

    code: str
    dropped: tuple[str, ...] = ()


def excerpt(code: str, max_chars: int, keep_definitions: bool = False) -> Excerpt | None:
    """As much of `code` as fits `max_chars` characters; None where not even its outline does.

    What goes, in this order and only as far as needed: comments, docstrings, imports, annotations and checks of
    arguments; methods other than `__init__` and `forward`; functions outside classes, where there is a class; all
    definitions but the first, the last one first; the ends of long `nn.Sequential` and list literals; statements, from
    the ends of the longest bodies. A cut inside a definition is marked by `...`.
    With `keep_definitions` every class stays, if only as an outline. Raises SyntaxError where `code` does not parse.
    """
    code = code.strip() + "\n"
    tree = ast.parse(code)
    if len(code) <= max_chars:
        return Excerpt(code)
    dropped = ["comments, docstrings, imports, annotations and checks"]
    _make_plain(tree)
    steps = [_cut_methods, _cut_functions, _cut_definitions, _cut_sequences, _cut_statements]
    if keep_definitions:
        steps.remove(_cut_definitions)
    for step in steps:
        if _size(tree) > max_chars and (what := step(tree, max_chars)):
            dropped.append(what)
    return Excerpt(_text(tree), tuple(dropped)) if tree.body and _size(tree) <= max_chars else None


def _text(tree: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _size(tree: ast.AST) -> int:
    return len(_text(tree))


class _Plain(ast.NodeTransformer):
    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_docstring = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_docstring or _called(node.value) in LOGGING else node

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt] | None:
        self.generic_visit(node)
        if all(isinstance(part, ast.Raise) for part in node.body):  # also where visiting left nothing
            return node.orelse or None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        return ast.Assign(targets=[node.target], value=node.value) if node.value else node


def _make_plain(tree: ast.Module) -> None:
    """Drop what says nothing about the architecture (the comments went when the text was parsed)."""
    _Plain().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            last = {part.name: part for part in node.body if isinstance(part, FUNCTIONS)}  # overloads come before
            node.body = [part for part in node.body if not isinstance(part, FUNCTIONS) or last[part.name] is part]
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, FUNCTIONS):
            node.returns = None
        if not isinstance(node, ast.Module) and getattr(node, "body", None) == []:
            node.body = [_ellipsis()]  # type: ignore[attr-defined]  # any compound statement


def _called(node: ast.expr) -> str:
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def _ellipsis() -> ast.stmt:
    return ast.Expr(ast.Constant(...))


def _is_ellipsis(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else node
    return isinstance(value, ast.Constant) and value.value is ...


def _cut_methods(tree: ast.Module, max_chars: int) -> str:
    gone: list[str] = []
    for owner in tree.body:
        if isinstance(owner, ast.ClassDef):
            kept = [node for node in owner.body if not isinstance(node, FUNCTIONS) or node.name in ESSENTIAL_METHODS]
            gone += [node.name for node in owner.body if isinstance(node, FUNCTIONS) and node not in kept]
            owner.body = kept or [_ellipsis()]
    return _listed("method", gone)


def _cut_functions(tree: ast.Module, max_chars: int) -> str:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    if not classes:
        return ""
    gone = [node.name for node in tree.body if isinstance(node, FUNCTIONS)]
    tree.body = list(classes)  # bare statements between the definitions say little without the functions
    return _listed("function", gone)


def _cut_definitions(tree: ast.Module, max_chars: int) -> str:
    gone: list[str] = []
    while len(tree.body) > 1 and _size(tree) > max_chars:
        gone.insert(0, getattr(tree.body.pop(), "name", "a statement"))
    return _listed("definition", gone)


def _cut_sequences(tree: ast.Module, max_chars: int) -> str:
    count = 0
    while (over := _size(tree) - max_chars) > 0:
        fresh = _shorten(list(_sequences(tree)), over, ast.Constant(...), LEAST_LAYERS, LEAST_SEQUENCE)
        if not fresh:
            break
        count += fresh
    return _counted(count, "element of a sequence", "elements of sequences")


def _cut_statements(tree: ast.Module, max_chars: int) -> str:
    count = 0
    while (over := _size(tree) - max_chars) > 0:
        fresh = _shorten(list(_function_bodies(tree)), over, _ellipsis(), 1, 0)
        if not fresh:
            break
        count += fresh
    return _counted(count, "statement", "statements")


def _shorten(lists: Sequence[list[Any]], over: int, mark: ast.AST, least: int, floor: int) -> int:
    """Drop the last nodes of the longest lists, `mark` in their place, until some `over` characters are gone.

    Lists of fewer than `least` nodes or at most `floor` characters stay. The number of dropped nodes.
    """
    sizes = [[len(ast.unparse(node)) for node in nodes if not _is_ellipsis(node)] for nodes in lists]
    count = 0
    while over > 0:
        open_to_cuts = [i for i, size in enumerate(sizes) if len(size) >= least and sum(size) > floor]
        if not open_to_cuts:
            break
        longest = max(open_to_cuts, key=lambda i: sum(sizes[i]))
        if _is_ellipsis(lists[longest][-1]):
            lists[longest].pop()
        lists[longest][-1] = mark
        over -= sizes[longest].pop()
        count += 1
    return count


def _function_bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            yield node.body


def _sequences(tree: ast.AST) -> Iterator[list[ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node).endswith("Sequential"):
            yield node.args
        elif isinstance(node, (ast.List, ast.Tuple)) and isinstance(node.ctx, ast.Load):
            yield node.elts


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}" if count else ""


def _listed(kind: str, names: list[str]) -> str:
    return f"{kind}{'s'[: len(names) > 1]} {', '.join(names)}" if names else ""
