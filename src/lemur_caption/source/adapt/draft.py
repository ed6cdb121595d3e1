"""A Net's syntax tree while it is being adapted, and the few questions that every transformation asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import libcst as cst
from libcst import matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider

from ...contract.report import Finding
from ...contract.source_rules.parse import parse
from ...errors import LemurCaptionError

# The byte order mark, which libcst drops.
_MARK = "\ufeff"
# A node, several in its place, or none. What an edit returns for the node it is given, children already edited.
Edit = Callable[[Any], Any]


class AdaptError(LemurCaptionError):
    """The Net cannot be adapted: it does not parse, has no class Net, or trains in a way that is not understood."""


@dataclass(frozen=True)
class Change:
    """One change. `name` is the transformation's, `line` the place in the original source, counted from 1."""

    name: str
    line: int
    description: str


def put(node: Any) -> Edit:
    """An edit that puts another node in the place."""
    return lambda updated: node


def followed_by(lines: list[Any]) -> Edit:
    """An edit that puts statements behind the one it is given."""
    return lambda updated: cst.FlattenSentinel([updated, *lines])


def drop(updated: Any) -> Any:
    """An edit that removes a node."""
    return cst.RemoveFromParent()


class _Editor(cst.CSTTransformer):  # type: ignore[misc]  # libcst ships no types that mypy follows here
    """Applies edits and visits nothing else, so that untouched nodes keep their identity and so their lines."""

    def __init__(self, edits: dict[Any, Edit], on_path: set[int]) -> None:
        super().__init__()
        self.edits, self.on_path = edits, on_path

    def on_visit(self, node: Any) -> bool:
        return id(node) in self.on_path

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        edit = self.edits.get(original_node)
        return edit(updated_node) if edit else updated_node


class Draft:
    """The Net as it stands, what was changed, and what was refused."""

    def __init__(self, source: str, *, random_weights: bool = False) -> None:
        # Python's own parser goes first: libcst's overflows its stack on what nests very deeply.
        parsed = parse(source)
        if isinstance(parsed, Finding):
            place = f"line {parsed.line}: " if parsed.line else ""
            raise AdaptError(f"{place}{parsed.message}; the Net must be a Python module that compiles")
        try:
            self.module = cst.parse_module(source.removeprefix(_MARK))
        except cst.ParserSyntaxError as error:
            raise AdaptError(f"line {error.raw_line}: libcst cannot read what Python can ({error.message})") from error
        positions = MetadataWrapper(self.module, unsafe_skip_copy=True).resolve(PositionProvider)
        self._mark = _MARK if source.startswith(_MARK) else ""
        self._original = self.module  # kept alive, for its nodes' ids are the keys of the lines
        self._lines = {id(node): position.start.line for node, position in positions.items()}
        self.random_weights = random_weights
        self.changes: list[Change] = []
        self.refusals: list[str] = []
        self._parents: dict[int, Any] = {}

    @property
    def source(self) -> str:
        return self._mark + str(self.module.code)

    @property
    def net(self) -> Any:
        """The class Net. Raises AdaptError where the file has none at its top level."""
        for node in self.module.body:
            if isinstance(node, cst.ClassDef) and node.name.value == "Net":
                return node
        raise AdaptError("the file has no class Net at its top level; only LEMUR Nets can be adapted")

    def classes(self) -> dict[str, Any]:
        return {node.name.value: node for node in self.module.body if isinstance(node, cst.ClassDef)}

    def method(self, name: str) -> Any:
        """A method of Net itself. Raises AdaptError where Net has none."""
        found = methods(self.net).get(name)
        if found is None:
            raise AdaptError(f"class Net has no method {name} of its own; write one, or move it into Net")
        return found

    def code(self, node: Any) -> str:
        return str(self.module.code_for_node(node)).strip()

    def line(self, node: Any) -> int:
        """Where a node stands in the original source; for new code, where the nearest original code below it stands."""
        known = (self._lines[id(inner)] for inner in walk(node) if id(inner) in self._lines)
        return next(known, 1)

    def changed(self, name: str, node: Any, description: str) -> None:
        self.changes.append(Change(name, self.line(node), description))

    def refuse(self, name: str, node: Any, reason: str) -> None:
        self.refusals.append(f"line {self.line(node)}: {name}: {reason}")

    def edit(self, edits: dict[Any, Edit]) -> None:
        """Replace nodes; nodes found before are stale afterwards where they hold an edited one."""
        on_path: set[int] = set()
        for node in edits:
            while node is not None and id(node) not in on_path:
                on_path.add(id(node))
                node = self.parent(node)
        self.module = self.module.visit(_Editor(edits, on_path))
        self._parents = {}

    def parent(self, node: Any) -> Any:
        if not self._parents:
            self._parents = {id(child): node for node in walk(self.module) for child in node.children}
        return self._parents.get(id(node))

    def ancestors(self, node: Any) -> Iterator[Any]:
        while (node := self.parent(node)) is not None:
            yield node

    def statement(self, node: Any) -> Any:
        """The whole line or compound statement that holds `node`."""
        for inner in (node, *self.ancestors(node)):
            if isinstance(inner, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
                return inner
        raise AdaptError("an expression stands outside any statement")

    def parse(self, *lines: str) -> list[Any]:
        """Statements from text, in the file's own indentation."""
        return [cst.parse_statement(line, config=self.module.config_for_parsing) for line in lines]

    def function(self, node: Any) -> Any:
        return next((outer for outer in self.ancestors(node) if isinstance(outer, cst.FunctionDef)), None)

    def owner(self, node: Any) -> Any:
        return next((outer for outer in self.ancestors(node) if isinstance(outer, cst.ClassDef)), None)


def walk(node: Any) -> Iterator[Any]:
    """A node and everything below it, in the order of the source."""
    yield node
    for child in node.children:
        yield from walk(child)


def walk_own(node: Any) -> Iterator[Any]:
    """What runs when a function runs: everything below it but nested functions, lambdas and classes."""
    for child in node.children:
        if not isinstance(child, (cst.FunctionDef, cst.Lambda, cst.ClassDef)):
            yield child
            yield from walk_own(child)


def methods(owner: Any) -> dict[str, Any]:
    return {node.name.value: node for node in owner.body.body if isinstance(node, cst.FunctionDef)}


def parameters(function: Any) -> list[Any]:
    """The positional parameters, `self` included."""
    return [*function.params.posonly_params, *function.params.params]


def dotted(node: Any) -> str:
    """`self.rnn.step` for such an expression, '' for any other."""
    if isinstance(node, cst.Name):
        return str(node.value)
    if isinstance(node, cst.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr.value}" if base else ""
    return ""


def names_in(node: Any) -> set[str]:
    return {inner.value for inner in walk(node) if isinstance(inner, cst.Name)}


def unused_name(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "_"
    return wanted


def keyword(call: Any, name: str) -> Any:
    """The argument passed under `name`, or None."""
    return next((argument for argument in call.args if argument.keyword and argument.keyword.value == name), None)


def is_none(node: Any) -> bool:
    return bool(m.matches(node, m.Name("None")))


def string(node: Any) -> str | None:
    """The text of a plain string literal."""
    if not isinstance(node, cst.SimpleString):
        return None
    value = node.evaluated_value
    return value if isinstance(value, str) else None


def subscript_key(node: Any) -> Any:
    """`x` of `a[x]`, None for slices and several indices."""
    if isinstance(node, cst.Subscript) and len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index):
        return node.slice[0].slice.value
    return None


def assignments(function: Any, name: str) -> list[tuple[Any, Any]]:
    """Every (statement, value) that binds `name` in a function; value None where it is one part of a tuple."""
    found: list[tuple[Any, Any]] = []
    for node in walk_own(function):
        if isinstance(node, cst.Assign):
            targets = [target.target for target in node.targets]
        elif isinstance(node, (cst.AnnAssign, cst.AugAssign, cst.For, cst.CompFor, cst.NamedExpr)):
            targets = [node.target]
        else:
            continue
        for target in targets:
            if isinstance(target, cst.Name) and target.value == name:
                found.append((node, getattr(node, "value", None)))
            elif isinstance(target, (cst.Tuple, cst.List)) and name in names_in(target):
                found.append((node, None))
    return found


def after_docstring(body: Any) -> int:
    """The index of a block's first statement that is not its docstring."""
    docstring = m.SimpleStatementLine(body=[m.Expr(m.SimpleString() | m.ConcatenatedString())])
    return 1 if body.body and m.matches(body.body[0], docstring) else 0


def insert_at(function: Any, index: int, statements: list[Any]) -> Any:
    """A function with statements put before the index-th of its body."""
    block = as_block(function.body)
    return function.with_changes(body=block.with_changes(body=[*block.body[:index], *statements, *block.body[index:]]))


def as_block(suite: Any) -> Any:
    """An indented block, also from `for …: a; b` on one line."""
    if isinstance(suite, cst.IndentedBlock):
        return suite
    return cst.IndentedBlock(body=[cst.SimpleStatementLine(body=[small]) for small in suite.body])


TIGHT = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))


def appended(items: Any, new: Any, space: str = "whitespace_after_arg") -> list[Any]:
    """Arguments or parameters with a new one behind them, laid out like the others: trailing comma, a line each."""
    if not items:
        return [new]
    *before, last = items
    comma = before[-1].comma if before else cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    new = new.with_changes(comma=last.comma, **{space: getattr(last, space)})
    return [*before, last.with_changes(comma=comma, **{space: cst.SimpleWhitespace("")}), new]
