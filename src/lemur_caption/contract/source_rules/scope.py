"""Which import a name stands for, by Python's scoping rules.

Only names that every assignment in their scope binds to the same import are resolved; whatever might be something else
resolves to nothing, so that a rule built on this never guesses.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Scope:
    """One scope: `names` maps a name to what binds it there, an import's dotted path or None for all else."""

    kind: Literal["module", "class", "function", "comprehension"]
    parent: Scope | None
    names: dict[str, set[str | None]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)
    star: bool = False

    def bind(self, name: str, path: str | None = None) -> None:
        owner = self.owner(name)
        owner.names.setdefault(name, set()).add(path)

    def owner(self, name: str) -> Scope:
        """The scope that an assignment to `name` in this one binds."""
        scope = self
        if name in scope.globals:
            while scope.parent is not None:
                scope = scope.parent
        elif name in scope.nonlocals and scope.parent is not None:
            return scope.parent.lookup(name) or scope
        return scope

    def lookup(self, name: str) -> Scope | None:
        """The scope that binds `name` as seen from here; None for built-ins and undefined names."""
        if name in self.globals:
            owner = self.owner(name)
            return owner if name in owner.names else None
        scope: Scope | None = self
        first = True
        while scope is not None:
            # A class's names are seen in its own body and nowhere below.
            if name in scope.names and (first or scope.kind != "class"):
                return scope
            first = False
            scope = scope.parent
        return None

    def path(self, name: str) -> str | None:
        """The import that `name` stands for here, as a dotted path, where that is certain."""
        scope = self.lookup(name)
        if scope is None:
            return None
        bound = scope.names[name]
        return next(iter(bound)) if len(bound) == 1 else None

    def is_builtin(self, name: str) -> bool:
        return self.lookup(name) is None


def build_scopes(tree: ast.Module) -> dict[ast.AST, Scope]:
    """The scope in which every Name, Call and class or function definition is evaluated."""
    builder = _Builder(any(isinstance(node, (ast.Global, ast.Nonlocal)) for node in ast.walk(tree)))
    builder.visit(tree)
    return builder.scopes


def _declare(scope: Scope, nodes: list[ast.AST]) -> None:
    """Note `global` and `nonlocal` before anything is bound: they hold for the whole scope, above and below."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Global):
            scope.globals.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            scope.nonlocals.update(node.names)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            stack.extend(ast.iter_child_nodes(node))


class _Builder(ast.NodeVisitor):
    def __init__(self, declares: bool) -> None:
        self.scopes: dict[ast.AST, Scope] = {}
        self.scope = Scope("module", None)
        self.declares = declares

    def generic_visit(self, node: ast.AST) -> None:
        self.scopes[node] = self.scope
        super().generic_visit(node)

    def _inside(self, scope: Scope, nodes: list[ast.AST]) -> None:
        outer, self.scope = self.scope, scope
        if self.declares:
            _declare(scope, nodes)
        for node in nodes:
            self.visit(node)
        self.scope = outer

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self.scopes[node] = self.scope
        arguments = node.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parameters += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
        around: list[ast.AST | None] = [*arguments.defaults, *arguments.kw_defaults]
        body: list[ast.AST]
        if isinstance(node, ast.Lambda):
            body = [node.body]
        else:
            self.scope.bind(node.name)
            around += [*node.decorator_list, node.returns, *(parameter.annotation for parameter in parameters)]
            body = list(node.body)
        for outside in around:
            if outside is not None:
                self.visit(outside)
        inner = Scope("function", self.scope)
        for parameter in parameters:
            inner.bind(parameter.arg)
        self._inside(inner, body)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scopes[node] = self.scope
        self.scope.bind(node.name)
        for outside in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(outside)
        self._inside(Scope("class", self.scope), list(node.body))

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.scopes[node] = self.scope
        first = node.generators[0]
        self.visit(first.iter)
        inside: list[ast.AST] = [first.target, *first.ifs, *node.generators[1:]]
        inside += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._inside(Scope("comprehension", self.scope), inside)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.scopes[node] = self.scope
        target: Scope = self.scope
        while target.kind == "comprehension" and target.parent is not None:
            target = target.parent
        target.bind(node.target.id)
        self.scopes[node.target] = self.scope
        self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        self.scopes[node] = self.scope
        if not isinstance(node.ctx, ast.Load):
            self.scope.bind(node.id)

    def visit_Import(self, node: ast.Import) -> None:
        self.scopes[node] = self.scope
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self.scope.bind(alias.asname or top, alias.name if alias.asname else top)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.scopes[node] = self.scope
        for alias in node.names:
            if alias.name == "*":
                self.scope.star = True
            else:
                path = f"{node.module}.{alias.name}" if node.module and not node.level else None
                self.scope.bind(alias.asname or alias.name, path)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.scope.bind(node.name)
        self.generic_visit(node)

    def _match(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.scope.bind(name)
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = _match
