"""`supported_hyperparameters`, which LEMUR calls before it has a Net."""

from __future__ import annotations

import ast

from lemur_caption.source.fixups.edits import Text, after_imports
from lemur_caption.source.fixups.scan import parse

NAME = "supported_hyperparameters"
BODY = "    return {'lr', 'momentum'}\n"
FUNCTION = f"def {NAME}():\n{BODY}"
_SOUND = ast.dump(ast.parse(FUNCTION).body[0])


def overwrite_hyperparameters(code: str) -> str:
    """One module-level `supported_hyperparameters` that returns `{'lr', 'momentum'}`; added where it is missing.

    Why: the prompt fixes the answer, and models return a list, a dict of ranges, or names that the Net does not read;
    NNGPT's gate reads the function's first statement, which has to be the return.
    """
    tree = parse(code)
    if tree is None:
        return code
    text = Text(code)
    found = [node for node in tree.body if _binds(node)]
    if len(found) == 1 and ast.dump(found[0]) == _SOUND:
        return code
    edits = []
    for number, node in enumerate(found):
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        start, end = text.line_start(first), text.span(node)[1]
        if text.code[end : end + 1] not in ("\n", ""):
            return code  # something shares the statement's line; the contract reports what is left
        edits.append((start, min(end + 1, len(code)), FUNCTION if number == 0 else ""))
    if not found:
        edits.append(_addition(text, tree))
    return text.replaced(edits)


def _binds(node: ast.stmt) -> bool:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return node.name == NAME
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == NAME for t in node.targets)


def _addition(text: Text, tree: ast.Module) -> tuple[int, int, str]:
    """The function after the last of the imports at the top."""
    line = after_imports(tree)
    at = text.line_start(line)
    lead = "" if at == 0 else "\n\n" if text.code[at - 1] == "\n" else "\n\n\n"
    return at, at, f"{lead}{FUNCTION}" + ("\n" if text.code[at:].strip() else "")
