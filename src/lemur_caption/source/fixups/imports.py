"""Imports: those that the code needs and lacks, and `nn` bound the one way that LEMUR's Nets do."""

from __future__ import annotations

import ast
import symtable
import warnings

from lemur_caption.source.fixups.edits import Text, after_prologue
from lemur_caption.source.fixups.scan import parse

NN = "import torch.nn as nn"

_FROM = {
    "typing": "Any Callable ClassVar Dict Final Generator Generic Iterable Iterator List Literal Mapping NamedTuple Optional "
    "Sequence Set Tuple Type TypeVar Union cast",
    "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
    "functools": "cached_property lru_cache partial reduce wraps",
    "itertools": "accumulate chain islice product",
    "dataclasses": "dataclass",
    "abc": "ABC abstractmethod",
    "copy": "deepcopy",
    "torch": "Tensor",
    "torch.nn": "Module ModuleDict ModuleList Parameter Sequential",
    "torch.nn.utils": "clip_grad_norm_",
    "torch.nn.utils.rnn": "pack_padded_sequence pack_sequence pad_packed_sequence pad_sequence",
    "torch.optim": "Adam AdamW RMSprop SGD",
    "torch.optim.lr_scheduler": "CosineAnnealingLR LambdaLR OneCycleLR ReduceLROnPlateau StepLR",
}
_MODULES = "torch torchvision math random copy functools itertools collections typing os sys time warnings"
USUAL: dict[str, str] = {
    **{name: f"import {name}" for name in _MODULES.split()},
    "nn": NN,
    "F": "import torch.nn.functional as F",
    "optim": "import torch.optim as optim",
    "init": "import torch.nn.init as init",
    "models": "import torchvision.models as models",
    "transforms": "import torchvision.transforms as transforms",
    "tv": "import torchvision as tv",
    "np": "import numpy as np",
    **{name: f"from {module} import {name}" for module, names in _FROM.items() for name in names.split()},
}


def unbound_names(code: str) -> set[str]:
    """Names that the code reads and nothing in it binds, builtins among them; empty where Python cannot tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            table = symtable.symtable(code, "<net>", "exec")
        except (SyntaxError, ValueError, RecursionError):
            return set()
    bound = {symbol.get_name() for symbol in table.get_symbols() if _binds(symbol)}
    read: set[str] = set()
    tables = [table]
    while tables:
        scope = tables.pop()
        tables += scope.get_children()
        for symbol in scope.get_symbols():
            if scope is not table and symbol.is_declared_global() and symbol.is_assigned():
                bound.add(symbol.get_name())
            if symbol.is_referenced() and (scope is table or symbol.is_global()):
                read.add(symbol.get_name())
    return read - bound


def _binds(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def add_missing_imports(code: str) -> str:
    """Import the usual modules and names that the code uses and does not bind.

    Why: models write `F.relu`, `math.sqrt` or `Optional[...]` as if the import were given; the Net then fails with a
    NameError. Only names with one usual meaning are added: torch and its parts, torchvision, and the standard library's
    typing, collections, functools and the like.
    """
    tree = parse(code)
    if tree is None:
        return code
    missing = unbound_names(code)
    wanted = [line for name, line in USUAL.items() if name in missing]
    return _with_imports(code, tree, wanted)


def _with_imports(code: str, tree: ast.Module, wanted: list[str]) -> str:
    if not wanted:
        return code
    text = Text(code)
    at = text.line_start(after_prologue(tree))
    lead = "\n" if at == len(code) and code and not code.endswith("\n") else ""
    return text.replaced([(at, at, lead + "".join(f"{line}\n" for line in wanted))])


def import_nn_once(code: str) -> str:
    """`import torch.nn as nn` exactly once, at the top of the file.

    Why: LEMUR's Nets and the tools that edit them expect this line, and pasted drafts bring it twice or as `from torch
    import nn`. Other names of such an import stay.
    """
    tree = parse(code)
    if tree is None:
        return code
    edits: list[tuple[int, int, str]] = []
    text = Text(code)
    kept = False
    for node in tree.body:
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        others = [alias for alias in node.names if not _is_nn(node, alias)]
        count = len(node.names) - len(others)
        if not count:
            continue
        if not kept and not others and count == 1 and isinstance(node, ast.Import):
            kept = True
            continue
        lines = []
        if (not kept and isinstance(node, ast.Import)) or (not kept and not _canonical_follows(tree, node)):
            lines, kept = [NN], True
        if others:
            names = ", ".join(f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in others)
            lines.append(f"import {names}" if isinstance(node, ast.Import) else f"from {node.module} import {names}")
        edits.append(_statement_edit(text, node, lines))
    return text.replaced(edits)


def _is_nn(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> bool:
    if isinstance(node, ast.Import):
        return alias.name == "torch.nn" and alias.asname == "nn"
    return node.module == "torch" and node.level == 0 and alias.name == "nn" and alias.asname in (None, "nn")


def _canonical_follows(tree: ast.Module, node: ast.stmt) -> bool:
    return any(
        isinstance(other, ast.Import) and any(_is_nn(other, alias) for alias in other.names)
        for other in tree.body[tree.body.index(node) + 1 :]
    )


def _statement_edit(text: Text, node: ast.stmt, lines: list[str]) -> tuple[int, int, str]:
    start, end = text.span(node)
    if lines:
        return start, end, "\n".join(lines)
    if node.col_offset == 0 and text.code[end : end + 1] in ("\n", ""):
        return start, min(end + 1, len(text.code)), ""
    return start, end, "pass"
