"""LC101, and the syntax tree that every other source rule reads.

Generated text may be anything: empty, binary, 50 MB, or nested until Python's own parser gives up. All of it must end
as one clean finding, in the process that also holds the search.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
import warnings
from functools import cached_property
from typing import TypeVar, cast

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules.scope import Scope, build_scopes

# The longest of the Nets of nn-dataset 2.1.2 has 178 kB, and the deepest syntax tree among them 25 levels.
MAX_BYTES = 1_000_000
MAX_DEPTH = 150
MAX_CHAIN = 5_000

SYNTAX = Rule(
    id="LC101",
    name="parses",
    stage="source",
    severity="error",
    rationale="LEMUR imports a Net as a Python module, so text that Python cannot compile is no Net at all.",
    message="{problem}",
    hint="Answer with one complete Python module in UTF-8: balanced brackets, consistent indentation, no Markdown fences, "
    "no text before or after the code.",
    example_bad="class Net(nn.Module)\n    pass",
    example_good="class Net(nn.Module):\n    pass",
)

Node = TypeVar("Node", bound=ast.AST)


class Source:
    """A Net's text and its syntax tree, walked once: nodes by type, parents and scopes."""

    def __init__(self, text: str, tree: ast.Module, parents: dict[ast.AST, ast.AST]) -> None:
        self.text = text
        self.tree = tree
        self.parents = parents
        self.nodes: dict[type[ast.AST], list[ast.AST]] = {}
        for node in parents:
            self.nodes.setdefault(type(node), []).append(node)

    @cached_property
    def lines(self) -> list[str]:
        # Python ends a line at \n, \r\n and \r only; str.splitlines knows more ends than that.
        return self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    @cached_property
    def scopes(self) -> dict[ast.AST, Scope]:
        """The scope in which each node that can be looked up (a Name, an Attribute's root, …) is evaluated."""
        return build_scopes(self.tree)

    def find(self, kind: type[Node]) -> list[Node]:
        return cast("list[Node]", self.nodes.get(kind, []))

    def at(self, node: ast.AST) -> tuple[int, int]:
        """Line and column of a node, both from 1; the column counts characters, where `ast` counts UTF-8 bytes."""
        line: int = getattr(node, "lineno", 1)
        offset: int = getattr(node, "col_offset", 0)
        if line > len(self.lines):
            return line, offset + 1
        text = self.lines[line - 1]
        return line, (offset if text.isascii() else len(text.encode()[:offset].decode(errors="ignore"))) + 1


def parse(source: str | bytes) -> Source | Finding:
    """The syntax tree of a Net, or the LC101 finding that says why there is none. Never raises on any input."""
    if len(source) > MAX_BYTES:
        return SYNTAX.finding(
            problem=f"the file has {len(source):,} bytes and the contract reads at most {MAX_BYTES:,}"
        )
    text = _decode(source)
    if isinstance(text, Finding):
        return text
    if not text.strip():
        return SYNTAX.finding(1, 1, problem="the file is empty")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        return SYNTAX.finding(line, problem="the file holds NUL bytes: it is not Python source")
    too_deep = f"the code nests too deeply (at most {MAX_DEPTH} levels)"
    if sys.version_info < (3, 11) and long_chain(text):
        return SYNTAX.finding(problem=too_deep)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, "net.py")
            parents = _walk(tree)
            if parents is None:
                return SYNTAX.finding(problem=too_deep)
            # `return` outside a function, `break` outside a loop and their like pass the parser alone.
            compile(tree, "net.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        if "too many nested" in str(error.msg):
            return SYNTAX.finding(error.lineno or 1, error.offset or 1, problem=too_deep)
        return SYNTAX.finding(error.lineno or 1, max(error.offset or 1, 1), problem=f"syntax error: {error.msg}")
    except (MemoryError, RecursionError):
        return SYNTAX.finding(problem=too_deep)
    except ValueError as error:
        return SYNTAX.finding(problem=f"Python cannot compile the file: {error}")
    return Source(text, tree, parents)


def _decode(source: str | bytes) -> str | Finding:
    try:
        text = source.decode("utf-8-sig") if isinstance(source, bytes) else source
        text.encode()  # a str may hold lone surrogates, which no file can
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return SYNTAX.finding(line, problem=f"byte {error.start:,} is not UTF-8: {error.reason}")
    except UnicodeEncodeError as error:
        return SYNTAX.finding(problem=f"character {error.start:,} cannot be written as UTF-8")
    return text.removeprefix("\ufeff")


def long_chain(text: str) -> bool:
    """Whether one logical line chains thousands of operators (`a.b.c…`, `1 + 1 + …`).

    Python 3.10 builds the tree of such a line without a limit on its depth, and may overflow the C stack.
    """
    chained = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NEWLINE or token.string == ",":
                chained = 0
            elif token.type == tokenize.OP:
                chained += 1
                if chained > MAX_CHAIN:
                    return True
    except (tokenize.TokenError, SyntaxError):
        return False  # the parser tells what is wrong, and stops before it builds a tree
    return False


def _walk(tree: ast.Module) -> dict[ast.AST, ast.AST] | None:
    """Every node but the module, in source order within a level, with its parent; None where the tree is too deep."""
    parents: dict[ast.AST, ast.AST] = {}
    level: list[ast.AST] = [tree]
    for _ in range(min(MAX_DEPTH, sys.getrecursionlimit() // 6)):
        below: list[ast.AST] = []
        for node in level:
            for child in ast.iter_child_nodes(node):
                # `Load`, `Store` and the operators are shared objects without a place of their own.
                if isinstance(child, (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)):
                    continue
                parents[child] = node
                below.append(child)
        if not below:
            return parents
        level = below
    return None
