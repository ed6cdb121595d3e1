"""LC140: importing a Net only defines things."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules.parse import Source

MODULE_WORK = Rule(
    id="LC140",
    name="module-level-work",
    stage="source",
    severity="error",
    rationale="LEMUR imports a Net's module several times and in several processes; what runs at import runs in each of them, "
    "before any limit of the trial holds.",
    message="{problem} at the top level of the file",
    hint="Keep only imports, functions, classes and plain constants at the top level; move all else into Net.",
    example_bad="model = Net((1, 3, 64, 64), (100,), {}, 'cpu')",
    example_good="MAX_LENGTH = 20",
)
RULES = (MODULE_WORK,)

_WORK = (ast.Call, ast.Await, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NAMES = {ast.For: "a loop", ast.While: "a loop", ast.With: "a with statement", ast.Expr: "an expression"}


def check(source: Source) -> Iterator[Finding]:
    yield from _check(source, source.tree.body)


def _check(source: Source, body: list[ast.stmt]) -> Iterator[Finding]:
    for node in body:
        if isinstance(
            node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Pass)
        ):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring, or `...`
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            work = next((inner for inner in ast.walk(node) if isinstance(inner, _WORK)), None)
            if work is not None:
                yield MODULE_WORK.finding(*source.at(work), problem="a constant is computed by a call or a loop")
        elif isinstance(node, ast.Try):
            # `try: import …` with a fallback only defines names.
            for part in (node.body, *(handler.body for handler in node.handlers), node.orelse, node.finalbody):
                yield from _check(source, part)
        elif isinstance(node, ast.If):
            if not _is_main(node.test):
                if any(isinstance(inner, _WORK) for inner in ast.walk(node.test)):
                    yield MODULE_WORK.finding(*source.at(node.test), problem="a call")
                yield from _check(source, node.body)
            yield from _check(source, node.orelse)
        else:
            what = (
                "a call" if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else _NAMES.get(type(node))
            )
            yield MODULE_WORK.finding(*source.at(node), problem=what or f"a statement ({type(node).__name__.lower()})")


def _is_main(test: ast.expr) -> bool:
    """`__name__ == "__main__"`: LEMUR imports the file, so what stands under it never runs."""
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
