"""LC120 to LC122: every call of a torch or torchvision class or function fits its signature."""

from __future__ import annotations

import ast
import contextlib
import enum
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules.library import (
    MISSING,
    TORCH_ROOTS,
    UNKNOWN,
    dotted_path,
    is_guarded,
    resolve,
    signature_of,
    within,
)
from lemur_caption.contract.source_rules.parse import Source

KEYWORD = Rule(
    id="LC120",
    name="torch-call-keyword",
    stage="source",
    severity="error",
    rationale="An argument name that the installed torch does not know raises TypeError when the line is reached. Language "
    "models carry names over from other libraries: `hidden_dim=` for `hidden_size=`, `vocab_size=` to a decoder layer.",
    message="{callee}() has no argument {name!r}",
    hint="Pass only arguments of the installed version's signature.",
    example_bad="self.lstm = nn.LSTM(256, hidden_dim=512)",
    example_good="self.lstm = nn.LSTM(256, hidden_size=512)",
)
POSITIONAL = Rule(
    id="LC121",
    name="torch-call-positional",
    stage="source",
    severity="error",
    rationale="More positional arguments than the signature holds, or one given twice, raise TypeError when the line is reached.",
    message="{callee}() {problem}",
    hint="Pass no more positional arguments than the signature takes, and none twice; give options by keyword.",
    example_bad="self.act = nn.ReLU(True, 64)",
    example_good="self.act = nn.ReLU(inplace=True)",
)
REQUIRED = Rule(
    id="LC122",
    name="torch-call-required",
    stage="source",
    severity="error",
    rationale="A call that leaves out an argument without a default raises TypeError when the line is reached.",
    message="{callee}() misses the required argument {name!r}",
    hint="Pass every argument that has no default.",
    example_bad="self.head = nn.Linear(512)",
    example_good="self.head = nn.Linear(512, vocab_size)",
)
RULES = (KEYWORD, POSITIONAL, REQUIRED)


@dataclass(frozen=True)
class Parameters:
    """What a call may pass. `positional` is None where that is not known, `keywords` None where any name goes."""

    positional: tuple[str, ...] | None
    keywords: frozenset[str] | None
    required: tuple[str, ...]
    text: str


# Recurrent layers take (*args, **kwargs) and hand them to RNNBase, each with its own first arguments.
_RECURRENT = {"torch.nn.LSTM": (), "torch.nn.GRU": ("proj_size",), "torch.nn.RNN": ("proj_size",)}
# Pooling functions that choose between two implementations of one signature by `return_indices`.
_DISPATCHED = "{}_with_indices"
# Alternative names that every compiled torch function takes, after NumPy's, and what factories and `out=` variants take.
_ALIASES = {"dim": "axis", "keepdim": "keepdims", "self": "input", "input": "x", "other": "x2"}
_ALWAYS = frozenset(
    {"out", "dtype", "device", "layout", "requires_grad", "pin_memory", "memory_format", "names", "x", "x1"}
)


def check(source: Source) -> Iterator[Finding]:
    for node in source.find(ast.Call):
        path = dotted_path(source, node.func)
        if path is None:
            path = _super_init(source, node)
        if path is None or not within(path, TORCH_ROOTS):
            continue
        accepts = parameters(path)
        if accepts is None:
            continue
        found = list(_misfits(source, node, path, accepts))
        if found and not is_guarded(source, node):
            yield from found


def _misfits(source: Source, call: ast.Call, path: str, accepts: Parameters) -> Iterator[Finding]:
    name = path.removeprefix("torch.nn.functional.") if path.startswith("torch.nn.functional.") else path
    callee = f"F.{name}" if name != path else path.replace("torch.nn.", "nn.", 1)
    note = f" The signature is {callee}{accepts.text}." if accepts.text else ""
    given = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    if accepts.keywords is not None:
        for keyword in call.keywords:
            if keyword.arg is not None and keyword.arg not in accepts.keywords:
                place = source.at(keyword)
                yield KEYWORD.finding(*place, hint=KEYWORD.hint + note, callee=callee, name=keyword.arg)
    if accepts.positional is None:
        return
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    plain = len(call.args) - (1 if starred else 0)
    if plain > len(accepts.positional):
        problem = f"takes {len(accepts.positional)} positional arguments and is given {plain}"
        yield POSITIONAL.finding(*source.at(call), hint=POSITIONAL.hint + note, callee=callee, problem=problem)
        return
    if starred:
        return
    filled = accepts.positional[: len(call.args)]
    for twice in sorted(set(filled) & set(given)):
        problem = f"is given {twice!r} by position and by keyword"
        yield POSITIONAL.finding(*source.at(call), hint=POSITIONAL.hint + note, callee=callee, problem=problem)
    if len(given) < len(call.keywords):
        return
    for needed in accepts.required:
        if needed not in filled and needed not in given:
            yield REQUIRED.finding(*source.at(call), hint=REQUIRED.hint + note, callee=callee, name=needed)


def _super_init(source: Source, call: ast.Call) -> str | None:
    """The torch class whose `__init__` a `super().__init__(…)` reaches, where the class has that one base alone."""
    func = call.func
    if not (isinstance(func, ast.Attribute) and func.attr == "__init__" and isinstance(func.value, ast.Call)):
        return None
    if not (isinstance(func.value.func, ast.Name) and func.value.func.id == "super"):
        return None
    owner = source.parents.get(call)
    while owner is not None and not isinstance(owner, ast.ClassDef):
        owner = source.parents.get(owner)
    if owner is None or len(owner.bases) != 1 or owner.keywords:
        return None
    return dotted_path(source, owner.bases[0])


@lru_cache(maxsize=4096)
def parameters(path: str) -> Parameters | None:
    """What the callable at a dotted path accepts; None where that is not known exactly."""
    callee = resolve(path)
    if callee is MISSING or callee is UNKNOWN or not callable(callee):
        return None
    canonical = f"torch.nn.{callee.__name__}" if isinstance(callee, type) else ""
    if canonical in _RECURRENT and resolve(canonical) is callee:
        return _recurrent(canonical)
    if isinstance(callee, type):
        return _of_class(callee)
    if isinstance(callee, types.FunctionType):
        return _of_function(path, callee)
    return _of_compiled(callee)


def _of_class(callee: type) -> Parameters | None:
    # A metaclass of its own, or an enumeration, may accept other arguments than `__init__` does.
    if issubclass(callee, (enum.Enum, BaseException)) or type(callee).__call__ is not type.__call__:
        return None
    # With both `__new__` and `__init__` in Python, `inspect` reads one of them and Python calls both.
    if isinstance(callee.__init__, types.FunctionType) == isinstance(callee.__new__, types.FunctionType):
        return None
    signature = signature_of(callee)
    return _of_signature(signature) if signature else None


def _of_function(path: str, callee: types.FunctionType) -> Parameters | None:
    signature = signature_of(callee)
    if signature is None:
        return None
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if kinds == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]:
        twin = resolve(_DISPATCHED.format(path))
        signature = signature_of(twin) if isinstance(twin, types.FunctionType) else None
        return _of_signature(signature) if signature else None
    accepts = _of_signature(signature)
    if hasattr(callee, "__wrapped__") and path.startswith("torchvision."):
        # torchvision's decorators take old forms of a call as well (`resnet18(True)`).
        return Parameters(None, accepts.keywords, (), accepts.text)
    return accepts


def _of_signature(signature: inspect.Signature) -> Parameters:
    every = signature.parameters.values()
    kinds = {parameter.kind for parameter in every}
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    positional = tuple(parameter.name for parameter in every if parameter.kind in by_position)
    variadic = inspect.Parameter.VAR_POSITIONAL in kinds
    return Parameters(
        None if variadic else positional,
        None
        if inspect.Parameter.VAR_KEYWORD in kinds
        else frozenset(parameter.name for parameter in every if parameter.kind in by_keyword),
        tuple(
            parameter.name
            for parameter in every
            if parameter.default is inspect.Parameter.empty and parameter.kind in (*by_position, *by_keyword)
        ),
        str(signature.replace(parameters=[_bare(p) for p in every], return_annotation=inspect.Signature.empty)),
    )


def _bare(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(annotation=inspect.Parameter.empty)


def _recurrent(path: str) -> Parameters | None:
    signature = signature_of(resolve("torch.nn.RNNBase"))
    if signature is None:
        return None
    kept = [p for name, p in signature.parameters.items() if name != "mode" and name not in _RECURRENT[path]]
    if path == "torch.nn.RNN":
        kept.insert(3, inspect.Parameter("nonlinearity", kept[2].kind, default="tanh"))
    return _of_signature(signature.replace(parameters=kept))


def _of_compiled(callee: Any) -> Parameters | None:
    """Argument names of a compiled torch function, from the operator schemas that its parser is generated from.

    Positions are not judged: the parser also takes `torch.zeros(2, 3)` for `torch.zeros((2, 3))` and older orders.
    """
    import torch

    name = getattr(callee, "__name__", "")
    if not isinstance(callee, types.BuiltinFunctionType) or not name:
        return None
    with contextlib.suppress(RuntimeError):
        schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
        names = {argument.name for schema in schemas for argument in schema.arguments}
        if names:
            names |= _overridable(callee)
            extra = {alias for known, alias in _ALIASES.items() if known in names}
            return Parameters(None, frozenset(names | extra | _ALWAYS), (), "")
    return None


def _overridable(callee: Any) -> set[str]:
    """The arguments that torch's own table of overridable functions gives; it knows what schemas lack (`as_tuple`)."""
    import torch.overrides

    stand_in = torch.overrides.get_testing_overrides().get(callee)
    signature = signature_of(stand_in) if stand_in else None
    return set(signature.parameters) if signature else set()
