"""The normalized syntax tree of a Net: equal for files that mean the same and read differently.

Left out: comments, layout, docstrings, annotations, `pass`. Brought into one order: methods, and functions and classes
of the module, where none is bound twice. Renamed by their first appearance: arguments and local variables, module-level
functions, classes and constants, and attributes that a file itself stores on `self`.

Everything else stays: every number, string, operator, import, call and statement, in its order; and every name that
code outside of the file, a keyword argument, a string or a look at names (`getattr`, `named_parameters`) could mean. Two
files with equal forms therefore differ in nothing that runs; nothing is computed or simplified.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator

from ...source.recipe import suggestions
from ...source.tree import parse

# What LEMUR calls and reads.
API = frozenset({"Net", "supported_hyperparameters", "self", "cls", "device", "criterion", "optimizer", "idx2word"})
BUILTINS = frozenset(dir(builtins))
# Code that meets names as values: nothing is renamed beside the first, no attribute beside the second.
SEES_NAMES = frozenset({"locals", "globals", "vars", "eval", "exec", "dir", "inspect"})
SEES_ATTRIBUTES = frozenset({"getattr", "setattr", "hasattr", "delattr", "attrgetter", "__slots__", "__dict__"}) | {
    *("__getattr__", "__setattr__", "__getattribute__", "state_dict", "load_state_dict"),
    *("named_buffers", "named_children", "named_modules", "named_parameters"),
}
MODULES = frozenset({"Module", "object", "ABC"})
# Decorators that do the same whatever is defined before.
DECORATORS = frozenset({"staticmethod", "classmethod", "property", "no_grad", "inference_mode"})
_WORD = re.compile(r"[A-Za-z_]\w*")
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)
_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def normal_form(source: str) -> str | None:
    """A digest of the normalized tree and of the suggested hyperparameters; None for text that is not Python."""
    tree = parse(source)
    if tree is None:
        return None
    try:
        text = _Form(tree).module(tree)
    except RecursionError:
        return None
    return hashlib.sha256(f"{text}\n{suggestions(tree)}".encode("utf-8", "surrogatepass")).hexdigest()


class _Survey:
    """Which names of a file may be renamed, found in one walk."""

    def __init__(self, tree: ast.Module):
        self.bound = Counter(name for statement in tree.body for name in _bound(statement))
        known: set[str] = set(BUILTINS | API)
        words: set[str] = set()
        stored: set[str] = set()
        elsewhere: set[str] = set()
        foreign = False
        classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        idle = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and _is_idle(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                if isinstance(node.value, ast.Name) and node.value.id == "self":
                    if not isinstance(node.ctx, ast.Load):
                        stored.add(node.attr)
                else:
                    elsewhere.add(node.attr)
            elif isinstance(node, ast.keyword) and node.arg:
                known.add(node.arg)
            elif isinstance(node, ast.alias):
                known.add((node.asname or node.name).partition(".")[0])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in idle:
                words.update(_WORD.findall(node.value) if len(node.value) < 80 else ())
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                known.update(node.names)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                known.add(node.name)
            elif isinstance(node, ast.pattern):
                known.update(value for value in vars(node).values() if isinstance(value, str))
            elif isinstance(node, ast.ClassDef):
                foreign = foreign or any(_last(base) not in MODULES | classes for base in node.bases)
                elsewhere.update(name for statement in node.body for name in _bound(statement))
            if isinstance(node, _Definition) and node not in tree.body:
                known.add(node.name)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= elsewhere | stored
        renames = not names & SEES_NAMES
        fixed = known | words
        self.globals = {name for name in self.bound if name not in fixed} if renames else set()
        attributes = renames and not foreign and not names & SEES_ATTRIBUTES
        free = {name for name in stored - elsewhere - fixed - _of_modules() if not name.startswith("_")}
        self.attributes = free if attributes else set()
        self.fixed = fixed | set(self.bound) if renames else None

    def locals_of(self, function: ast.AST) -> set[str]:
        """The variables of an outermost function that may be renamed, those of functions inside it included."""
        if self.fixed is None:
            return set()
        found = set()
        for node in ast.walk(function):
            if isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.add(node.id)
        return found - self.fixed


class _Form:
    """Writes a tree in its normal form, piece by piece."""

    def __init__(self, tree: ast.Module):
        self.survey = _Survey(tree)
        self.pieces: list[str] = []
        self.numbers: dict[str, str] = {}
        self.locals: dict[str, str] | None = None
        self.free: set[str] = set()
        self.blind = False

    def module(self, tree: ast.Module) -> str:
        for statement in _ordered(tree.body, self.blindly):
            self.node(statement)
        return "".join(self.pieces)

    def blindly(self, node: ast.stmt) -> str:
        """A definition by what it holds, while no name of the file has a number yet."""
        self.blind = True
        self.node(node)
        text = "".join(self.pieces)
        self.blind, self.pieces = False, []
        return text

    def number(self, kind: str, name: str) -> str:
        if self.blind:
            return kind
        return self.numbers.setdefault(f"{kind}{name}", f"{kind}{len(self.numbers)}")

    def name(self, name: str) -> str:
        if self.locals is not None and name in self.free:
            return self.locals.setdefault(name, f"%{len(self.locals)}")
        return self.number("$", name) if name in self.survey.globals else name

    def node(self, node: object) -> None:
        put = self.pieces.append
        if isinstance(node, ast.Name):
            put(f"{self.name(node.id)} ")
        elif isinstance(node, ast.arg):
            put(f"{self.name(node.arg)} ")
        elif isinstance(node, ast.Constant):
            put(f"{node.value!r} ")
        elif isinstance(node, ast.Attribute):
            self.node(node.value)
            own = isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr in self.survey.attributes
            put(f".{self.number('@', node.attr) if own else node.attr} ")
        elif isinstance(node, _Function):
            self.function(node)
        elif isinstance(node, ast.ClassDef):
            put(f"class {self.name(node.name)}(")
            self.fields(node, "decorator_list", "bases", "keywords")
            put("){")
            for statement in _ordered(node.body, lambda statement: getattr(statement, "name", "")):
                self.node(statement)
            put("}")
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self.node(ast.Assign([node.target], node.value))
        elif isinstance(node, (ast.Pass, ast.expr_context)) or _is_idle(node):
            pass
        elif isinstance(node, ast.AST):
            put(f"{type(node).__name__}(")
            self.fields(node, *node._fields)
            put(")")
        elif isinstance(node, list):
            put("[")
            for item in node:
                self.node(item)
            put("]")
        else:
            put(f"{node!r} ")

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outermost = self.locals is None
        if outermost:
            self.locals, self.free = {}, self.survey.locals_of(node)
        self.pieces.append(f"{type(node).__name__} {self.name(node.name)}(")
        self.fields(node, "decorator_list", "args", "body")
        self.pieces.append(")")
        if outermost:
            self.locals, self.free = None, set()

    def fields(self, node: ast.AST, *names: str) -> None:
        for name in names:
            if name not in ("type_comment", "kind"):
                self.node(getattr(node, name, None))


def _is_idle(node: object) -> bool:
    """A docstring, or a constant that nothing reads."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _ordered(body: list[ast.stmt], key: Callable[[ast.stmt], str]) -> list[ast.stmt]:
    """Statements first, then definitions by `key`; as they are where that could change what a name means."""
    definitions = [statement for statement in body if isinstance(statement, _Definition)]
    bound = Counter(name for statement in body for name in _bound(statement))
    decorators = (decorator for definition in definitions for decorator in definition.decorator_list)
    if any(count > 1 for count in bound.values()) or any(
        _last(decorator) not in DECORATORS for decorator in decorators
    ):
        return body
    rest = [statement for statement in body if not isinstance(statement, _Definition)]
    return rest + sorted(definitions, key=key)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement of a module or class binds."""
    if isinstance(statement, _Definition):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, _Definition):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


@functools.cache
def _of_modules() -> frozenset[str]:
    """Attributes of every nn.Module."""
    from torch import nn

    return frozenset(dir(nn.Module()))


def _last(node: ast.expr) -> str:
    """`Module` of `torch.nn.Module`, `no_grad` of `torch.no_grad()`."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
