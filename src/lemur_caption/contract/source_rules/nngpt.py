"""LC107: what NNGPT's gate, `ab.gpt.util.Eval.Eval.evaluate`, asks of the text beyond what LEMUR asks of the Net."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules.parse import Source

PLAIN = Rule(
    id="LC107",
    name="readable-for-nngpt",
    stage="source",
    severity="error",
    rationale="NNGPT looks for functions and hyperparameters in the text, by pattern, and runs the file as a module that "
    "`sys.modules` does not know. It turns away a Net that LEMUR would train.",
    message="{problem}",
    hint="Write `def learn(self, train_data):` and its like with single spaces, name `'lr'` and `'momentum'` in plain quotes, "
    "define supported_hyperparameters once, and give a dataclass annotations that are no strings.",
    example_bad="def learn (self, train_data): ...",
    example_good="def learn(self, train_data): ...",
)
RULES = (PLAIN,)

SOUGHT = ("supported_hyperparameters", "train_setup", "learn")
KEYS = ("lr", "momentum")


def check(source: Source, lenient: bool) -> Iterator[Finding]:
    """LC107. What is missing altogether is told by LC103, LC105 and LC106."""
    functions: dict[str, list[ast.FunctionDef]] = {}
    for node in source.find(ast.FunctionDef):
        functions.setdefault(node.name, []).append(node)
    bound = {node.id: node for node in source.find(ast.Name) if isinstance(node.ctx, ast.Store)}
    for name in SOUGHT:
        place = functions[name][0] if name in functions else bound.get(name)
        if place is not None and not re.search(rf"\s+def\s{name}\(", source.text):
            yield PLAIN.finding(
                *source.at(place), problem=f"the text holds no line `def {name}(`, which NNGPT looks for"
            )
    yield from _hyperparameters(source, functions.get(SOUGHT[0], []))
    for owner in source.find(ast.ClassDef):
        if any(map(_is_dataclass, owner.decorator_list)) and _has_text_annotations(source, owner):
            yield PLAIN.finding(
                *source.at(owner),
                problem=f"dataclass {owner.name} has annotations that are strings, and NNGPT cannot load it",
            )


def _hyperparameters(source: Source, functions: list[ast.FunctionDef]) -> Iterator[Finding]:
    top = [function for function in functions if function in source.tree.body]
    for function in functions if top else ():
        if ast.dump(function.body[0]) != ast.dump(top[-1].body[0]):
            yield PLAIN.finding(*source.at(function), problem=f"another function is called {function.name} too")
    for key in KEYS:
        keys = [node for node in source.find(ast.Constant) if node.value == key]
        if len(keys) > 1 and source.text.count(f'"{key}"') + source.text.count(f"'{key}'") < 2:
            yield PLAIN.finding(*source.at(keys[-1]), problem=f"the text does not name '{key}' twice in plain quotes")


def _is_dataclass(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return "dataclass" in (getattr(called, "id", None), getattr(called, "attr", None))


def _has_text_annotations(source: Source, owner: ast.ClassDef) -> bool:
    annotated = [node for node in owner.body if isinstance(node, ast.AnnAssign)]
    postponed = any(
        node.module == "__future__" and any(name.name == "annotations" for name in node.names)
        for node in source.find(ast.ImportFrom)
    )
    return bool(annotated) and (
        postponed
        or any(
            isinstance(node.annotation, ast.Constant) and isinstance(node.annotation.value, str) for node in annotated
        )
    )
