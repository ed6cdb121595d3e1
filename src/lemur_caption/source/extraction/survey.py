"""How much of a Net a text is, read off its syntax tree, or off the parts of it that parse."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from functools import cached_property, lru_cache

from lemur_caption.source.fixups import SYNTAX_PASSES, apply_fixups
from lemur_caption.source.fixups.scan import Statement, parse, statements

REQUIRED = ("__init__", "train_setup", "learn", "forward")


@dataclass(frozen=True)
class Survey:
    """A text's top-level statements. `text` is the source with its syntax mended, as far as it could be."""

    text: str
    body: tuple[ast.stmt, ...]
    parses: bool

    @property
    def has_code(self) -> bool:
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Import, ast.ImportFrom)
        return any(isinstance(node, kinds) for node in self.body)

    @property
    def has_class(self) -> bool:
        return self.net is not None

    @property
    def only_code(self) -> bool:
        """Whether no top-level expression is there for nothing, as a stray word is."""
        return not any(
            isinstance(node, ast.Expr) and not isinstance(node.value, (ast.Call, ast.Constant)) for node in self.body
        )

    @cached_property
    def net(self) -> ast.ClassDef | None:
        """The class that is the Net or comes nearest: by name, then by what it derives from, its methods, its place."""
        classes = [node for node in self.body if isinstance(node, ast.ClassDef)]
        if not classes:
            return None
        return max(enumerate(classes), key=lambda each: (_class_score(each[1]), each[0]))[1]

    @property
    def net_named(self) -> bool:
        return self.net is not None and self.net.name == "Net"

    @property
    def net_name(self) -> str:
        return self.net.name if self.net else ""

    @cached_property
    def net_score(self) -> int:
        """How much of a Net the class is: 4 for its name, 3 for deriving from Module, 3 for each method that is written."""
        return _class_score(self.net) if self.net else 0

    @cached_property
    def module_score(self) -> int:
        """How much of a Net's file there is around the class: its function, its imports, and nothing that is no code."""
        functions = {node.name for node in self.body if isinstance(node, ast.FunctionDef)}
        imported = any(
            "torch" in ast.dump(node) for node in self.body if isinstance(node, (ast.Import, ast.ImportFrom))
        )
        return 2 * ("supported_hyperparameters" in functions) + imported + (self.parses and self.only_code)


def _class_score(node: ast.ClassDef) -> int:
    named = 4 * (node.name == "Net")
    module = 3 * any(ast.unparse(base).split(".")[-1] == "Module" for base in node.bases)
    methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef) and not is_stub(each)}
    return named + module + 3 * sum(name in methods for name in REQUIRED)


def is_stub(function: ast.FunctionDef) -> bool:
    """Whether a method is a sketch: nothing but a docstring, `pass` or `raise`, or an ellipsis somewhere in it."""
    body = function.body
    if any(isinstance(node, ast.Expr) and _is_ellipsis(node.value) for node in body):
        return True
    return all(
        isinstance(node, (ast.Pass, ast.Raise)) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in body
    )


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


@lru_cache(maxsize=64)
def survey(text: str) -> Survey:
    """Read a text; where it does not parse, mended, and where that does not help, each part that does."""
    tree = parse(text)
    if tree is None:
        text = apply_fixups(text, SYNTAX_PASSES).code
        tree = parse(text)
    if tree is not None:
        return Survey(text, tuple(tree.body), True)
    return Survey(text, tuple(_parts(text)), False)


def _parts(text: str) -> list[ast.stmt]:
    """The statements of the outermost level that parse; of a class that does not, the methods that do."""
    parts: list[ast.stmt] = []
    for group in _groups(statements(text)):
        tree = parse.__wrapped__(textwrap.dedent(_source(text, group)))
        if tree is not None:
            parts += tree.body
        elif group[0].keyword == "class" and len(group) > 1:
            parts += _partial_class(text, group)
    return parts


def _groups(found: list[Statement]) -> list[list[Statement]]:
    """Statements by what they stand under; a decorator, `else` and the like stay with their own."""
    groups: list[list[Statement]] = []
    for statement in found:
        goes_on = groups and (
            statement.indent > groups[-1][0].indent
            or groups[-1][-1].keyword == "@"
            or statement.keyword in ("elif", "else", "except", "finally")
        )
        if goes_on:
            groups[-1].append(statement)
        else:
            groups.append([statement])
    return groups


def _source(text: str, group: list[Statement]) -> str:
    return text[group[0].start : group[-1].end] + "\n"


def _partial_class(text: str, group: list[Statement]) -> list[ast.stmt]:
    header = parse.__wrapped__(textwrap.dedent(_source(text, group[:1])).rstrip() + " pass\n")
    if header is None or not isinstance(header.body[0], ast.ClassDef):
        return []
    node = header.body[0]
    for member in _groups(group[1:]):
        tree = parse.__wrapped__(textwrap.dedent(_source(text, member)))
        node.body += tree.body if tree is not None else []
    return [node]
