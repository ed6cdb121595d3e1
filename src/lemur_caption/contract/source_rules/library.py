"""What a dotted path such as `torch.nn.functional.gelu` is in the installed libraries.

The objects themselves are asked, not a list that ages. Only attributes of modules and classes are followed: what an
instance holds is not known before it exists. Code of the Net is never imported here, and of the libraries only what
is safe to import in the process that holds the search.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from lemur_caption.contract.source_rules.parse import Source

TORCH_ROOTS = ("torch", "torchvision")

# The packages that a Net may import; also the only ones that are ever loaded here to be asked for their names.
ALLOWED_IMPORTS = (
    "__future__",
    "abc",
    "bisect",
    "cmath",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "einops",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "math",
    "numbers",
    "numpy",
    "operator",
    "random",
    "re",
    "statistics",
    "string",
    "time",
    "torch",
    "torchvision",
    "typing",
    "typing_extensions",
    "warnings",
)

# Submodules that `import torch` may leave unloaded and that are cheap and free of side effects to import.
_IMPORTABLE = (
    "collections.abc",
    "torch.nn",
    "torch.optim",
    "torch.amp",
    "torch.cuda",
    "torch.fft",
    "torch.linalg",
    "torch.special",
    "torch.utils.checkpoint",
    "torch.utils.data",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
)
# Modules that make up their attributes as they are asked for, or are slow to load: nothing is said of what they hold.
_OPAQUE = ("torch.ops", "torch.classes", "torch._dynamo", "torch._inductor", "torch._export", "torch.onnx", "torch._C")


class _Marker:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


MISSING = _Marker("MISSING")
UNKNOWN = _Marker("UNKNOWN")


def within(path: str, parents: tuple[str, ...]) -> bool:
    """Whether a dotted path is one of `parents` or lies below one."""
    return any(path == parent or path.startswith(parent + ".") for parent in parents)


@lru_cache(maxsize=8192)
def resolve(path: str) -> Any:
    """The object at a dotted path: MISSING where the installed library has no such name, UNKNOWN where it cannot be told."""
    head, _, name = path.rpartition(".")
    if not head:
        return _load(path)
    owner = resolve(head)
    if owner is MISSING or owner is UNKNOWN:
        return owner
    if not isinstance(owner, (types.ModuleType, type)) or within(path, _OPAQUE):
        return UNKNOWN
    try:
        return getattr(owner, name)
    except AttributeError:
        return _load(path) if isinstance(owner, types.ModuleType) else MISSING
    except (ImportError, RuntimeError, OSError, TypeError, ValueError):
        return UNKNOWN  # a lazy attribute of the library that does not load here


def _load(path: str) -> Any:
    if path.partition(".")[0] not in ALLOWED_IMPORTS or "__main__" in path:
        return UNKNOWN
    try:
        if importlib.util.find_spec(path) is None:
            return MISSING
        if "." in path and not within(path, _IMPORTABLE):
            return UNKNOWN
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        return MISSING if error.name == path else UNKNOWN
    except (ImportError, ValueError, RuntimeError, OSError):
        return UNKNOWN


@lru_cache(maxsize=8192)
def first_missing(path: str) -> tuple[str, str] | None:
    """The shortest part of `path` that does not exist, as (owner, name); None where all of it does or may."""
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        found = resolve(".".join(parts[:end]))
        if found is UNKNOWN:
            return None
        if found is MISSING:
            return ".".join(parts[: end - 1]), parts[end - 1]
    return None


# What language models reach for most often, and what torch calls it.
_KNOWN = {
    "SelfAttention": "MultiheadAttention",
    "CrossAttention": "MultiheadAttention",
    "Attention": "MultiheadAttention",
    "MultiHeadAttention": "MultiheadAttention",
    "Swish": "SiLU",
    "LayerNorm2d": "GroupNorm",
    "GlobalAvgPool2d": "AdaptiveAvgPool2d",
    "GlobalAveragePooling2D": "AdaptiveAvgPool2d",
    "Dense": "Linear",
    "LabelSmoothingCrossEntropy": "CrossEntropyLoss",
}


@lru_cache(maxsize=1024)
def close_names(owner: str, name: str) -> list[str]:
    """Up to three names of `owner` that look like `name`, nearest first."""
    there = [known for known in dir(resolve(owner)) if not known.startswith("_")]
    folded: dict[str, str] = {known.lower(): known for known in there}
    close = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.7)
    names = [folded[key] for key in close]
    if _KNOWN.get(name) in there:
        names.insert(0, _KNOWN[name])
    return list(dict.fromkeys(names))[:3]


def dotted_path(source: Source, node: ast.AST) -> str | None:
    """The import path that a Name or a chain of Attributes stands for, e.g. `nn.Linear` -> `torch.nn.Linear`."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    scope = source.scopes.get(node)
    root = scope.path(node.id) if scope else None
    return ".".join([root, *reversed(names)]) if root else None


def chains(source: Source) -> Iterator[tuple[ast.Attribute | ast.Name, str]]:
    """Every outermost Name or Attribute chain that starts at an import, with its dotted path."""
    for node in source.find(ast.Name):
        scope = source.scopes.get(node)
        root = scope.path(node.id) if scope and isinstance(node.ctx, ast.Load) else None
        if not root:
            continue
        top: ast.Attribute | ast.Name = node
        names = [root]
        parent = source.parents[top]
        while isinstance(parent, ast.Attribute):
            names.append(parent.attr)
            top = parent
            parent = source.parents[top]
        yield top, ".".join(names)


_FORGIVING = {
    "Exception",
    "BaseException",
    "AttributeError",
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "TypeError",
}


def is_guarded(source: Source, node: ast.AST) -> bool:
    """Whether the program itself expects that this place may fail: in a `try` that catches it, or under `hasattr`."""
    child, parent = node, source.parents.get(node)
    same_function = True
    while parent is not None:
        if (
            isinstance(parent, ast.Try)
            and same_function
            and child in parent.body
            and any(map(_forgives, parent.handlers))
        ):
            return True
        if isinstance(parent, (ast.If, ast.IfExp)) and _asks(parent.test):
            return True
        # A handler around a definition does not run when the function fails later.
        same_function = same_function and not isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        child, parent = parent, source.parents.get(parent)
    return False


def _forgives(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in _FORGIVING) for kind in kinds)


def _asks(test: ast.AST) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id == "hasattr")
        or (isinstance(node, ast.Attribute) and node.attr == "__version__")
        for node in ast.walk(test)
    )


def in_annotation(source: Source, node: ast.AST) -> bool:
    """Whether a node belongs to an annotation, which a Net does not always evaluate."""
    child, parent = node, source.parents.get(node)
    while parent is not None and not isinstance(parent, ast.stmt):
        if isinstance(parent, ast.arg):
            return True
        child, parent = parent, source.parents.get(parent)
    return child is getattr(parent, "annotation", None) or child is getattr(parent, "returns", None)


def signature_of(callee: Any) -> inspect.Signature | None:
    """`inspect.signature`, or None where an object has none."""
    try:
        return inspect.signature(callee)
    except (TypeError, ValueError):
        return None
