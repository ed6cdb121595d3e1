"""`device`: tensors go to `self.device` instead of a hard-coded GPU."""

from __future__ import annotations

from typing import Any

import libcst as cst
from libcst import matchers as m

from .draft import Draft, dotted, followed_by, methods, parameters, put, string, walk, walk_own

NAME = "device"
_GPU_TENSOR = m.Attribute(
    value=m.Attribute(value=m.Name("torch"), attr=m.Name("cuda")), attr=m.Name(m.MatchRegex(r"\w*Tensor"))
)
_LAYERS = {
    "Linear",
    "Embedding",
    "LSTM",
    "GRU",
    "RNN",
    "LSTMCell",
    "GRUCell",
    "RNNCell",
    "Conv1d",
    "Conv2d",
    "LayerNorm",
    "BatchNorm2d",
    "MultiheadAttention",
    "Parameter",
}


def apply(draft: Draft) -> None:
    """`x.cuda()` becomes `x.to(self.device)`, in other classes than Net the device of their own parameters."""
    _keep_device(draft)
    edits: dict[Any, Any] = {}
    for node in walk(draft.module):
        if m.matches(node, m.Call(func=m.Attribute(attr=m.Name("cuda")))):
            _move(draft, node, edits)
        elif _names_gpu(draft, node):
            _take_device(draft, node, edits)
        elif isinstance(node, cst.Attribute) and m.matches(node, _GPU_TENSOR):
            draft.refuse(NAME, node, f"{dotted(node)} exists on a GPU alone; make the tensor with device=self.device")
    if edits:
        draft.edit(edits)


def _names_gpu(draft: Draft, node: Any) -> bool:
    """`torch.device('cuda…')` or 'cuda…' given to `.to` or as `device=`, also as one choice of two."""
    if isinstance(node, cst.Call):
        return dotted(node.func) == "torch.device" and _mentions_gpu(node)
    if not isinstance(node, (cst.SimpleString, cst.IfExp)) or not _mentions_gpu(node):
        return False
    argument = draft.parent(node)
    call = draft.parent(argument) if isinstance(argument, cst.Arg) else None
    if call is None or dotted(call.func) == "torch.device":
        return False
    moves = isinstance(call.func, cst.Attribute) and call.func.attr.value == "to" and argument.keyword is None
    return moves or bool(argument.keyword and argument.keyword.value == "device")


def _mentions_gpu(node: Any) -> bool:
    return any((string(inner) or "").startswith("cuda") for inner in walk(node))


def _take_device(draft: Draft, node: Any, edits: dict[Any, Any]) -> None:
    where = _place(draft, node)
    if where is not None:
        edits[node] = put(cst.parse_expression(where))
        draft.changed(NAME, node, f"`{draft.code(node)}` becomes {where}")
    elif "is_available" not in draft.code(node):
        draft.refuse(
            NAME, node, f"`{draft.code(node)}` needs a GPU, and no device is at hand here; take it from LEMUR's"
        )


def _keep_device(draft: Draft) -> None:
    """Net remembers the device that LEMUR gives it, and no other."""
    init = draft.method("__init__")
    taken = [parameter.name.value for parameter in parameters(init)]
    if len(taken) < 5:
        draft.refuse(NAME, init, "__init__ does not take (in_shape, out_shape, prm, device), which LEMUR passes")
        return
    device = cst.Name(taken[4])
    stored = [node for node in walk_own(init) if isinstance(node, cst.Assign) and _stores_device(node)]
    for node in stored:
        if _mentions_gpu(node.value):
            draft.changed(NAME, node, "self.device is the device that LEMUR passes")
            draft.edit({node.value: put(device)})
    if stored or "device" in methods(draft.net) or not any(_needs_device(draft, node) for node in walk(draft.net)):
        return
    starts = m.Call(func=m.Attribute(attr=m.Name("__init__")))
    for statement in init.body.body:
        if any(m.matches(node, starts) for node in walk(statement)):
            draft.changed(NAME, statement, "Net keeps the device that LEMUR passes")
            draft.edit({statement: followed_by(draft.parse(f"self.device = {device.value}"))})
            return


def _stores_device(node: Any) -> bool:
    return any(dotted(target.target) == "self.device" for target in node.targets)


def _needs_device(draft: Draft, node: Any) -> bool:
    if isinstance(node, cst.Attribute) and (dotted(node) == "self.device" or node.attr.value == "cuda"):
        return True
    return _names_gpu(draft, node)


def _move(draft: Draft, node: Any, edits: dict[Any, Any]) -> None:
    if dotted(node.func.value) == "torch":
        return
    function = draft.function(node)
    if function is not None and function.name.value == "__init__" and draft.owner(node) is not draft.net:
        edits[node] = lambda updated: updated.func.value
        draft.changed(NAME, node, "`.cuda()` is dropped: train_setup moves the whole Net")
        return
    where = _place(draft, node)
    if where is None:
        draft.refuse(
            NAME, node, f"`{draft.code(node)}` needs a GPU, and no device is at hand; use an argument's .device"
        )
        return

    def edit(updated: Any) -> Any:
        kept = [argument for argument in updated.args if argument.keyword is not None]
        moved = cst.Arg(cst.parse_expression(where))
        if kept:
            moved = moved.with_changes(comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")))
        return updated.with_changes(func=updated.func.with_changes(attr=cst.Name("to")), args=[moved, *kept])

    edits[node] = edit
    draft.changed(NAME, node, f"`.cuda()` becomes .to({where})")


def _place(draft: Draft, node: Any) -> str | None:
    """An expression for the right device at `node`."""
    function, owner = draft.function(node), draft.owner(node)
    if function is None or owner is None or not parameters(function) or parameters(function)[0].name.value != "self":
        return None
    if owner is draft.net or any(
        dotted(inner) == "self.device" for inner in walk(owner) if isinstance(inner, cst.Attribute)
    ):
        return "self.device"
    init = methods(owner).get("__init__")
    made = (
        {dotted(inner.func).rpartition(".")[2] for inner in walk(init) if isinstance(inner, cst.Call)}
        if init
        else set()
    )
    return "next(self.parameters()).device" if made & _LAYERS else None
