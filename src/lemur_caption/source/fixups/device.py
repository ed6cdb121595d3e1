"""`.cuda()`, which fails wherever there is no CUDA device."""

from __future__ import annotations

import ast

from lemur_caption.source.fixups.edits import Text
from lemur_caption.source.fixups.scan import parse

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def follow_device(code: str) -> str:
    """`x.cuda()` and `x.to('cuda')` become `x.to(device)` or `x.to(self.device)`.

    Why: LEMUR hands the Net its device, and it may be a CPU. `device` where the function has that name, `self.device`
    in the methods of a class that sets it; elsewhere nothing tells the device, and the call stays.
    """
    tree = parse(code)
    if tree is None or "cuda" not in code:
        return code
    text = Text(code)
    edits: list[tuple[int, int, str]] = []
    _visit(tree, None, False, text, edits)
    return text.replaced(edits)


def _visit(node: ast.AST, target: str | None, owns_device: bool, text: Text, edits: list[tuple[int, int, str]]) -> None:
    """Collect edits under `node`; `target` is the expression that holds the device there."""
    for child in ast.iter_child_nodes(node):
        inner, owns = target, owns_device
        if isinstance(child, ast.ClassDef):
            owns = _sets_device(child)
        elif isinstance(child, _Function):
            inner = _device_of(child, owns_device) or target
        elif isinstance(child, ast.Call) and inner is not None:
            edit = _edit(child, inner, text)
            edits += [edit] if edit else []
        _visit(child, inner, owns, text, edits)


def _sets_device(node: ast.ClassDef) -> bool:
    return any(
        isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and each.attr == "device"
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
        for each in ast.walk(node)
    )


def _device_of(function: ast.FunctionDef | ast.AsyncFunctionDef, owns_device: bool) -> str | None:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    if "device" in names:
        return "device"
    return "self.device" if owns_device and names[:1] == ["self"] else None


def _edit(call: ast.Call, target: str, text: Text) -> tuple[int, int, str] | None:
    if not isinstance(call.func, ast.Attribute):
        return None
    moves = call.func.attr == "cuda" or (call.func.attr == "to" and call.args and _names_cuda(call.args[0]))
    keywords = [keyword for keyword in call.keywords if keyword.arg not in ("device", "memory_format")]
    if not moves or len(call.args) > 1 or len(keywords) != len(call.keywords):
        return None
    rest = "".join(f", {ast.unparse(keyword)}" for keyword in keywords)
    return text.span(call.func.value)[1], text.span(call)[1], f".to({target}{rest})"


def _names_cuda(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.split(":")[0] == "cuda"
