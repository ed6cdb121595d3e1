"""LC130 to LC132: no name, and no attribute of `self`, is used that nothing ever defines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules.library import dotted_path, is_guarded
from lemur_caption.contract.source_rules.parse import Source

UNDEFINED = Rule(
    id="LC130",
    name="undefined-name",
    stage="source",
    severity="error",
    rationale="A name that nothing defines raises NameError when the line is reached: a forgotten import, or a constant or class "
    "of the example that the answer left out.",
    message="undefined name {name!r}",
    hint="Import or define every name before it is used.",
    example_bad="import torch.nn as nn\nx = F.relu",
    example_good="import torch.nn.functional as F\nx = F.relu",
)
LOCAL = Rule(
    id="LC131",
    name="undefined-local",
    stage="source",
    severity="error",
    rationale="A variable that a function assigns is local to all of it; read above its first assignment it raises "
    "UnboundLocalError, also where an outer variable has the same name.",
    message="local variable {name!r} is used before it is assigned",
    hint="Assign the variable before its first use, or give it a name of its own.",
    example_bad="MAX = 20\ndef steps():\n    MAX = MAX + 1",
    example_good="MAX = 20\ndef steps():\n    return MAX + 1",
)
ATTRIBUTE = Rule(
    id="LC132",
    name="undefined-attribute",
    stage="source",
    severity="error",
    rationale="An attribute of `self` that no method assigns raises AttributeError when the line is reached.",
    message="self.{name} is used, and nothing in class {owner} assigns it",
    hint="Assign the attribute in `__init__`, or use the name under which it was assigned.",
    example_bad="def __init__(self): self.encoder = nn.Linear(8, 8)\ndef forward(self, x): return self.encode(x)",
    example_good="def __init__(self): self.encoder = nn.Linear(8, 8)\ndef forward(self, x): return self.encoder(x)",
)
RULES = (UNDEFINED, LOCAL, ATTRIBUTE)

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def check_names(source: Source) -> Iterator[Finding]:
    """LC130 and LC131, as pyflakes tells them."""
    from pyflakes import checker, messages

    places = {(node.lineno, node.col_offset): node for node in source.find(ast.Name)}
    for message in checker.Checker(source.tree, filename="net.py").messages:
        if not isinstance(message, (messages.UndefinedName, messages.UndefinedLocal)):
            continue
        node = places.get((message.lineno, message.col))
        if node is not None and is_guarded(source, node):
            continue
        rule = LOCAL if isinstance(message, messages.UndefinedLocal) else UNDEFINED
        line, column = source.at(node) if node is not None else (message.lineno, message.col + 1)
        yield rule.finding(line, column, name=message.message_args[0])


@lru_cache(maxsize=1)
def _module_attributes() -> frozenset[str]:
    """What every nn.Module instance has."""
    import torch

    return frozenset(dir(torch.nn.Module()))


def check_attributes(source: Source) -> Iterator[Finding]:
    """LC132, for the classes whose every attribute is in sight: nn.Module or nothing above them, no dynamic tricks."""
    classes = {node.name: node for node in source.find(ast.ClassDef)}
    if len(classes) < len(source.find(ast.ClassDef)):
        return  # two classes of one name: which is meant is not for a linter to say
    attributes = source.find(ast.Attribute)
    # `encoder.scale = 2` may set the attribute on an object of any class.
    elsewhere = {node.attr for node in attributes if _stores(node) and not _on_self(node)}
    defined = {name: _defined(node) for name, node in classes.items()}
    for name, node in classes.items():
        family = _family(source, node, classes)
        parts = [defined[member] for member in family or ()]
        known = elsewhere.union(_module_attributes(), *(part for part in parts if part is not None))
        if not parts or None in parts:
            continue
        for use in _uses(node):
            if use.attr not in known and not is_guarded(source, use):
                yield ATTRIBUTE.finding(*source.at(use), name=use.attr, owner=name)


def _stores(node: ast.Attribute) -> bool:
    return not isinstance(node.ctx, ast.Load)


def _on_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _family(source: Source, node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str] | None:
    """The class with all classes of this file that it shares objects with; None where a base is not in sight.

    A subclass may assign what its base uses, and then the subclass's other bases count as well.
    """
    bases = {
        name: {b.id for b in other.bases if isinstance(b, ast.Name)} & classes.keys() for name, other in classes.items()
    }
    family = {node.name}
    grown = True
    while grown:
        more = {name for name in classes if bases[name] & family}.union(*(bases[name] for name in family))
        grown = not more <= family
        family |= more
    for member in (classes[name] for name in family):
        if member.keywords or member.decorator_list:
            return None
        for base in member.bases:
            local = isinstance(base, ast.Name) and (base.id in classes or base.id == "object")
            if not local and dotted_path(source, base) not in (
                "torch.nn.Module",
                "torch.nn.modules.module.Module",
                "abc.ABC",
            ):
                return None
    return family


# A class that names one of these makes attributes as it runs.
_DYNAMIC = {"__getattr__", "__getattribute__", "__dict__", "_modules", "__slots__", "vars"}
# What sets an attribute under a name given as text, and the position of that text.
_SETTERS = {
    "register_buffer": 0,
    "register_parameter": 0,
    "register_module": 0,
    "add_module": 0,
    "setattr": 1,
    "__setattr__": 0,
}


def _defined(node: ast.ClassDef) -> set[str] | None:
    """The attributes that a class gives itself; None where that is decided as it runs."""
    names: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute):
            if _stores(inner):
                names.add(inner.attr)
            if inner.attr in _DYNAMIC:
                return None
        elif isinstance(inner, ast.Name):
            if inner.id in _DYNAMIC:
                return None
        elif isinstance(inner, _Function):
            if inner.name in _DYNAMIC or inner.name == "__setattr__":
                return None
        elif isinstance(inner, ast.Call):
            called = inner.func.attr if isinstance(inner.func, ast.Attribute) else getattr(inner.func, "id", "")
            if called in _SETTERS:
                named = [keyword.value for keyword in inner.keywords if keyword.arg == "name"]
                key = [*inner.args[_SETTERS[called] :], *named]
                if not key or not isinstance(key[0], ast.Constant):
                    return None
                names.add(str(key[0].value))
    return names | _class_level(node.body)


def _class_level(body: list[ast.stmt]) -> set[str]:
    names: set[str] = set()
    for statement in body:
        if isinstance(statement, (*_Function, ast.ClassDef)):
            names.add(statement.name)
            continue
        for inner in ast.walk(statement):
            if isinstance(inner, (*_Function, ast.ClassDef)):
                names.add(inner.name)
            elif isinstance(inner, ast.Name) and _stores_name(inner):
                names.add(inner.id)
            elif isinstance(inner, ast.alias):
                names.add(inner.asname or inner.name)
    return names


def _stores_name(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _uses(node: ast.ClassDef) -> Iterator[ast.Attribute]:
    """Reads of `self.x` in the methods of a class, where `self` is the object throughout."""
    for method in node.body:
        if not isinstance(method, _Function) or not method.args.args or method.args.args[0].arg != "self":
            continue
        decorators = {decorator.id for decorator in method.decorator_list if isinstance(decorator, ast.Name)}
        inside = list(ast.walk(method))
        rebound = any(isinstance(n, ast.Name) and n.id == "self" and _stores_name(n) for n in inside)
        if rebound or decorators & {"staticmethod", "classmethod"} or any(isinstance(n, ast.ClassDef) for n in inside):
            continue
        yield from (n for n in inside if isinstance(n, ast.Attribute) and not _stores(n) and _on_self(n))
