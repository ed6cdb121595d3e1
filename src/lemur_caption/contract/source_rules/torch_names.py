"""LC110 and LC111: every name taken from torch and torchvision exists in the installed version."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules.library import (
    TORCH_ROOTS,
    chains,
    close_names,
    first_missing,
    in_annotation,
    is_guarded,
    within,
)
from lemur_caption.contract.source_rules.parse import Source

IMPORT = Rule(
    id="LC110",
    name="torch-import-exists",
    stage="source",
    severity="error",
    rationale="An import of a module or name that torch does not have ends the trial before the Net is built. Language models "
    "invent such names, or remember them from another version.",
    message="{owner} has no {name!r} in the installed version",
    hint="Import only names that torch and torchvision have; write a missing layer yourself as an nn.Module.",
    example_bad="from torch.nn import SelfAttention",
    example_good="from torch.nn import MultiheadAttention",
)
ATTRIBUTE = Rule(
    id="LC111",
    name="torch-name-exists",
    stage="source",
    severity="error",
    rationale="A layer or function that torch does not have raises AttributeError when the line is reached, which may be "
    "after the first epoch has been paid for.",
    message="{owner} has no attribute {name!r} in the installed version",
    hint="Use only names that torch and torchvision have; write a missing layer yourself as an nn.Module.",
    example_bad="self.attention = nn.SelfAttention(256, 8)",
    example_good="self.attention = nn.MultiheadAttention(256, 8, batch_first=True)",
)
RULES = (IMPORT, ATTRIBUTE)

# Before Python 3.14 annotations are evaluated as the module is imported, unless a future import says otherwise.
ANNOTATIONS_RUN = sys.version_info < (3, 14)


def check(source: Source) -> Iterator[Finding]:
    told: set[tuple[str, str]] = set()
    for node, path in _imports(source):
        missing = first_missing(path)
        if missing and not is_guarded(source, node):
            told.add(missing)
            yield _finding(IMPORT, source, node, *missing)
    lazy_annotations = not ANNOTATIONS_RUN or any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in source.tree.body
    )
    stored = _patched(source)
    for top, path in chains(source):
        if not within(path, TORCH_ROOTS):
            continue
        missing = first_missing(path)
        if not missing or missing in told or ".".join(missing) in stored:
            continue
        if isinstance(top, ast.Attribute) and not isinstance(top.ctx, ast.Load) and path == ".".join(missing):
            continue
        if is_guarded(source, top) or (lazy_annotations and in_annotation(source, top)):
            continue
        yield _finding(ATTRIBUTE, source, top, *missing)


def _imports(source: Source) -> Iterator[tuple[ast.AST, str]]:
    for node in source.find(ast.Import):
        for alias in node.names:
            if within(alias.name, TORCH_ROOTS):
                yield alias, alias.name
    for origin in source.find(ast.ImportFrom):
        if origin.module and not origin.level and within(origin.module, TORCH_ROOTS):
            for alias in origin.names:
                yield alias, origin.module if alias.name == "*" else f"{origin.module}.{alias.name}"


def _patched(source: Source) -> set[str]:
    """Names that the file itself gives to a torch module (which is another rule's business)."""
    return {
        path for top, path in chains(source) if isinstance(top, ast.Attribute) and not isinstance(top.ctx, ast.Load)
    }


def _finding(rule: Rule, source: Source, node: ast.AST, owner: str, name: str) -> Finding:
    hint = rule.hint
    close = close_names(owner, name) if owner else []
    if close:
        hint = f"Did you mean {' or '.join(close)}? {hint}"
    return rule.finding(*source.at(node), hint=hint, owner=owner or "this environment", name=name)
