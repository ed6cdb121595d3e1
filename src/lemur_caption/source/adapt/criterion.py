"""`criterion-name` and `ignore-padding`: `self.criterion`, a loss that leaves padding (0) out."""

from __future__ import annotations

from typing import Any

import libcst as cst
from libcst import matchers as m

from .draft import TIGHT, Draft, appended, dotted, keyword, walk

CRITERION = "criterion-name"
PADDING = "ignore-padding"
_LOSSES = {"CrossEntropyLoss", "NLLLoss"}
_FUNCTIONS = {"cross_entropy", "nll_loss"}
_ONE = m.Tuple(elements=[m.Element()])


def apply_name(draft: Draft) -> None:
    """`self.criteria = (loss,)`, used as `self.criteria[0]`, becomes `self.criterion`."""
    uses = [node for node in walk(draft.net) if isinstance(node, cst.Attribute) and dotted(node) == "self.criteria"]
    if not uses or any(dotted(node) == "self.criterion" for node in walk(draft.net) if isinstance(node, cst.Attribute)):
        return
    edits: dict[Any, Any] = {}
    for use in uses:
        edits[use] = lambda updated: updated.with_changes(attr=cst.Name("criterion"))
        parent = draft.parent(use)
        if m.matches(parent, m.Subscript(slice=[m.SubscriptElement(m.Index(m.Integer("0")))])):
            edits[parent] = lambda updated: updated.value
        elif isinstance(parent, cst.AssignTarget):
            value = draft.parent(parent).value
            if m.matches(value, _ONE):
                edits[value] = _unwrap
            elif not m.matches(value, m.Name("None")):
                return
        elif not isinstance(parent, (cst.BooleanOperation, cst.Assert, cst.If, cst.Comparison, cst.UnaryOperation)):
            return
    if not any(value is _unwrap for value in edits.values()):
        return
    draft.changed(CRITERION, uses[0], "the loss is self.criterion, no longer a tuple of one")
    draft.edit(edits)


def _unwrap(updated: Any) -> Any:
    return updated.elements[0].value


def apply_padding(draft: Draft) -> None:
    """Every cross-entropy of the Net ignores index 0."""
    edits: dict[Any, Any] = {}
    for node in walk(draft.net):
        if not isinstance(node, cst.Call):
            continue
        name = dotted(node.func).rpartition(".")[2]
        if name not in _LOSSES | _FUNCTIONS or any(argument.star for argument in node.args):
            continue
        ignored = keyword(node, "ignore_index")
        if ignored is None:
            if len([a for a in node.args if a.keyword is None]) > (3 if name in _FUNCTIONS else 1):
                draft.refuse(PADDING, node, f"{name} gets its options by position; pass ignore_index=0 by keyword")
                continue
            edits[node] = _ignoring
            draft.changed(PADDING, node, f"{name} ignores padding (index 0)")
        elif isinstance(ignored.value, (cst.Integer, cst.UnaryOperation)) and not m.matches(
            ignored.value, m.Integer("0")
        ):
            draft.refuse(
                PADDING,
                node,
                f"{name} ignores index {draft.code(ignored.value)}, and LEMUR's captions are padded with 0",
            )
    if edits:
        draft.edit(edits)


def _ignoring(updated: Any) -> Any:
    new = cst.Arg(cst.Integer("0"), keyword=cst.Name("ignore_index"), equal=TIGHT)
    return updated.with_changes(args=appended(updated.args, new))
