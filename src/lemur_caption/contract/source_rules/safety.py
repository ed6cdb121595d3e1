"""LC601 to LC606: what a Net may not reach, as far as the text shows it.

The sandbox holds whatever these rules miss; they exist because a refusal that names the line teaches more than a killed
process does.
"""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Iterator
from functools import lru_cache

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules.library import (
    ALLOWED_IMPORTS,
    chains,
    dotted_path,
    resolve,
    within,
)
from lemur_caption.contract.source_rules.parse import Source

IMPORT = Rule(
    id="LC601",
    name="import-allowed",
    stage="safety",
    severity="error",
    rationale="A Net is a stand-alone file. Modules beyond torch, torchvision and the harmless part of the standard library may "
    "be missing where it trains, or reach files, processes and the network.",
    message="a Net may not import {name!r}",
    hint="Import only torch, torchvision, numpy and modules such as math, typing, collections, functools, itertools, "
    "dataclasses, copy, enum, random and warnings.",
    example_bad="import os",
    example_good="import math",
)
BUILTIN = Rule(
    id="LC602",
    name="forbidden-builtin",
    stage="safety",
    severity="error",
    rationale="These built-ins open files, run text as code, wait for a person, or reach into the interpreter; a Net needs none "
    "of them.",
    message="a Net may not use {name}()",
    hint="Write the computation out directly; read settings from prm, and use getattr and setattr with plain names.",
    example_bad="layer = eval('nn.Linear(8, 8)')",
    example_good="layer = nn.Linear(8, 8)",
)
DUNDER = Rule(
    id="LC603",
    name="dunder-access",
    stage="safety",
    severity="error",
    rationale="Names such as `__globals__`, `__subclasses__` or `__builtins__` lead out of any restriction on what a Net may "
    "reach.",
    message="a Net may not reach {name}",
    hint="Use ordinary attributes and methods; `super().__init__()`, `type(x).__name__` and their like are allowed.",
    example_bad="().__class__.__subclasses__()",
    example_good="type(self).__name__",
)
SIDE_DOOR = Rule(
    id="LC604",
    name="library-side-door",
    stage="safety",
    severity="error",
    rationale="Parts of torch, torchvision and numpy read and write files, unpickle, download, compile native code or start "
    "processes. A Net only computes; LEMUR loads the data and keeps the results.",
    message="a Net may not use {name}",
    hint="Compute with tensors alone: no files, downloads, processes or native code. Weights on disk may be read, by "
    "torch.load(..., weights_only=True).",
    example_bad="torch.save(self.state_dict(), 'net.pt')",
    example_good="return accuracy, loss",
)
DOWNLOAD = Rule(
    id="LC605",
    name="weights-download",
    stage="safety",
    severity="warning",
    rationale="Pretrained weights are downloaded when the Net is built; without a network, or in the sandbox, building it fails.",
    message="{argument} downloads weights",
    hint="Build the model with weights=None and train it from scratch.",
    example_bad="models.resnet18(weights='DEFAULT')",
    example_good="models.resnet18(weights=None)",
)
PATCH = Rule(
    id="LC606",
    name="patches-library",
    stage="safety",
    severity="error",
    rationale="An imported module or class belongs to everyone in the process: a Net that assigns to it changes the metric, the "
    "loader or the next Net.",
    message="a Net may not assign to {name}",
    hint="Write a class or function of your own instead of changing an imported one.",
    example_bad="torch.nn.Linear.forward = fast_forward",
    example_good="class FastLinear(nn.Linear): ...",
)
RULES = (IMPORT, BUILTIN, DUNDER, SIDE_DOOR, DOWNLOAD, PATCH)

_BUILTINS = frozenset(
    {
        "open",
        "eval",
        "exec",
        "compile",
        "input",
        "breakpoint",
        "globals",
        "locals",
        "vars",
        "exit",
        "quit",
        "help",
        "__import__",
    }
)
_HARMLESS_DUNDER = re.compile(
    r"__(?:init|new|name|qualname|class|doc|version|call|len|iter|next|getitem|setitem|delitem|contains|enter|exit|eq|ne|lt|le|"
    r"gt|ge|hash|repr|str|add|radd|sub|rsub|mul|rmul|matmul|truediv|floordiv|mod|pow|neg|abs|bool|int|float|setattr|getattr|"
    r"delattr|dir|post_init|init_subclass|annotations|constants|all|torch_function|getstate|setstate|module)__"
)
_DUNDER = re.compile(r"__\w+__")
# Functions that take an attribute's name as text.
_BY_NAME = frozenset({"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller"})

# Dotted paths that are refused, with everything below them.
_DOORS_BELOW = {
    "torch": "load save from_file hub ops classes library multiprocessing distributed package serialization storage export onnx "
    "jit.load jit.save profiler UntypedStorage TypedStorage testing _dynamo _inductor utils.cpp_extension utils.model_zoo "
    "utils.tensorboard utils.bottleneck utils.collect_env utils.show_pickle",
    "torchvision": "io datasets utils.save_image extension",
    "numpy": "load save savez savez_compressed fromfile memmap loadtxt savetxt genfromtxt fromregex ctypeslib f2py testing "
    "lib.format lib.npyio",
}
_DOORS = tuple(f"{root}.{name}" for root, names in _DOORS_BELOW.items() for name in names.split())
# Methods that reach files or native code, whatever they are called on.
_METHODS = frozenset({"tofile", "from_file", "load_state_dict_from_url", "load_library"})
# Modules whose attributes are switches meant to be set.
_SWITCHES = ("torch.backends",)
_LENIENT_IMPORTS = ("ab.nn",)


def check(source: Source, lenient: bool) -> Iterator[Finding]:
    allowed = ALLOWED_IMPORTS + (_LENIENT_IMPORTS if lenient else ())
    yield from _imports(source, allowed)
    yield from _builtins(source)
    yield from _dunders(source)
    yield from _chains(source, allowed)
    yield from _downloads(source)


def _imports(source: Source, allowed: tuple[str, ...]) -> Iterator[Finding]:
    for node in source.find(ast.Import):
        for alias in node.names:
            if not within(alias.name, allowed):
                yield IMPORT.finding(*source.at(alias), name=alias.name)
            elif within(alias.name, _DOORS):
                yield SIDE_DOOR.finding(*source.at(alias), name=alias.name)
    for origin in source.find(ast.ImportFrom):
        module = "." * origin.level + (origin.module or "")
        if not within(module, allowed):
            yield IMPORT.finding(*source.at(origin), name=module)
            continue
        for alias in origin.names:
            path = f"{module}.{alias.name}"
            if within(path, _DOORS):
                yield SIDE_DOOR.finding(*source.at(alias), name=path)
            elif stranger := _stranger(path, allowed):
                yield IMPORT.finding(*source.at(alias), name=stranger)


def _stranger(path: str, allowed: tuple[str, ...]) -> str | None:
    """The name of the module that `path` passes through, where a Net may not import that one (`random._os` is os)."""
    parts = path.split(".")
    for end in range(2, len(parts) + 1):
        found = resolve(".".join(parts[:end]))
        if isinstance(found, types.ModuleType) and not within(found.__name__.lstrip("_"), allowed):
            return found.__name__
    return None


def _builtins(source: Source) -> Iterator[Finding]:
    for node in source.find(ast.Name):
        if node.id in _BUILTINS and isinstance(node.ctx, ast.Load) and source.scopes[node].is_builtin(node.id):
            yield BUILTIN.finding(*source.at(node), name=node.id)


def _dunders(source: Source) -> Iterator[Finding]:
    for attribute in source.find(ast.Attribute):
        if _refused(attribute.attr):
            yield DUNDER.finding(*source.at(attribute), name=attribute.attr)
    for name in source.find(ast.Name):
        read = isinstance(name.ctx, ast.Load) and name.id not in _BUILTINS
        if read and _refused(name.id) and source.scopes[name].is_builtin(name.id):
            yield DUNDER.finding(*source.at(name), name=name.id)
    for call in source.find(ast.Call):
        called = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        texts = [argument for argument in call.args if isinstance(argument, ast.Constant)] if called in _BY_NAME else []
        for text in texts:
            for refused in filter(_refused, _DUNDER.findall(str(text.value))):
                yield DUNDER.finding(*source.at(text), name=refused)


def _refused(name: str) -> bool:
    return bool(_DUNDER.fullmatch(name)) and not _HARMLESS_DUNDER.fullmatch(name)


@lru_cache(maxsize=1)
def _door_functions() -> dict[int, str]:
    """The refused functions by identity, so that a second name for one does not help."""
    found = {path: resolve(path) for path in _DOORS if path.startswith(("torch.", "numpy."))}
    return {id(item): path for path, item in found.items() if isinstance(item, (types.FunctionType, type))}


def _chains(source: Source, allowed: tuple[str, ...]) -> Iterator[Finding]:
    methods = {node for node in source.find(ast.Attribute) if node.attr in _METHODS}
    for top, path in chains(source):
        if isinstance(top, ast.Attribute) and not isinstance(top.ctx, ast.Load):
            if not within(path, _SWITCHES):
                yield PATCH.finding(*source.at(top), name=path)
            continue
        parent = source.parents[top]
        if isinstance(parent, ast.Call) and parent.args[:1] == [top] and _sets(parent) and not within(path, _SWITCHES):
            if isinstance(resolve(path), (types.ModuleType, type)):
                yield PATCH.finding(*source.at(top), name=path)
            continue
        if not isinstance(top, ast.Attribute):
            continue  # the import itself has been judged
        if _reads_tensors_alone(path, top, parent):
            methods.discard(top)
        elif within(path, _DOORS) or id(resolve(path)) in _door_functions():
            methods.discard(top)
            yield SIDE_DOOR.finding(*source.at(top), name=path)
        elif stranger := _stranger(path, allowed):
            yield IMPORT.finding(*source.at(top), name=stranger)
    for node in methods:
        yield SIDE_DOOR.finding(*source.at(node), name=f".{node.attr}()")


def _reads_tensors_alone(path: str, top: ast.AST, parent: ast.AST) -> bool:
    """Weights that are on disk may be read: where they lie, and `torch.load` when it is told to unpickle nothing else."""
    if path == "torch.hub.get_dir":
        return True
    if path != "torch.load" or not isinstance(parent, ast.Call) or parent.func is not top:
        return False
    options = {keyword.arg: keyword.value for keyword in parent.keywords}
    safe = options.get("weights_only")
    return isinstance(safe, ast.Constant) and safe.value is True and not {None, "pickle_module"} & options.keys()


def _sets(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in ("setattr", "delattr")


def _downloads(source: Source) -> Iterator[Finding]:
    for node in source.find(ast.Call):
        path = dotted_path(source, node.func)
        if path is None or not within(path, ("torchvision.models",)):
            continue
        if node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value is True:
            yield DOWNLOAD.finding(*source.at(node.args[0]), argument="pretrained=True")
        for keyword in node.keywords:
            if keyword.arg in ("pretrained", "pretrained_backbone"):
                if isinstance(keyword.value, ast.Constant) and keyword.value.value:
                    yield DOWNLOAD.finding(*source.at(keyword), argument=f"{keyword.arg}=True")
            elif keyword.arg in ("weights", "weights_backbone"):
                text = isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
                chosen = dotted_path(source, keyword.value) or ""
                if text or "_Weights." in chosen:
                    yield DOWNLOAD.finding(*source.at(keyword), argument=f"{keyword.arg}={ast.unparse(keyword.value)}")
