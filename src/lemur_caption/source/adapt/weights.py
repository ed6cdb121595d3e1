"""`random-weights`: torchvision models start from random weights instead of a download, where that is asked for."""

from __future__ import annotations

from typing import Any

import libcst as cst
from libcst import matchers as m

from .draft import TIGHT, Draft, dotted, walk
from .imports import imported

NAME = "random-weights"
_KEYWORDS = ("weights", "pretrained", "weights_backbone", "pretrained_backbone")
_DOWNLOADS = (
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.utils.model_zoo.load_url",
    "timm.create_model",
)


def apply(draft: Draft) -> None:
    """Replace `weights=…` and `pretrained=…` of torchvision's models by `weights=None`, or refuse without the option."""
    names = imported(draft.module)
    edits: dict[Any, Any] = {}
    for node in walk(draft.module):
        if not isinstance(node, cst.Call):
            continue
        head, _, rest = dotted(node.func).partition(".")
        path = f"{names.get(head, head)}.{rest}".rstrip(".")
        if path in _DOWNLOADS:
            draft.refuse(NAME, node, f"{path} downloads; build the model in the file instead")
        # By torchvision's naming, functions build models, and classes are layers or sets of weights.
        if not path.startswith("torchvision.models.") or path != path.lower():
            continue
        asked = [argument for argument in node.args if _asks(argument, node.args)]
        if not asked:
            continue
        if not draft.random_weights:
            draft.refuse(
                NAME,
                node,
                f"`{draft.code(node)}` downloads weights; adapt with random weights (--random-weights), or pass weights=None",
            )
            continue
        edits[node] = _from_scratch(asked)
        draft.changed(NAME, node, f"{path.rpartition('.')[2]} starts from random weights")
    if edits:
        draft.edit(edits)


def _asks(argument: Any, args: Any) -> bool:
    """Whether an argument may ask for a download; only a literal None or False surely does not."""
    named = (
        argument.keyword.value if argument.keyword else ("weights" if argument is args[0] and not argument.star else "")
    )
    return named in _KEYWORDS and not m.matches(argument.value, m.Name("None") | m.Name("False"))


def _from_scratch(asked: list[Any]) -> Any:
    def edit(updated: Any) -> Any:
        args = []
        for argument in updated.args:
            if any(argument is other for other in asked):
                name = argument.keyword.value.replace("pretrained", "weights") if argument.keyword else "weights"
                equal = argument.equal if argument.keyword else TIGHT
                argument = argument.with_changes(keyword=cst.Name(name), equal=equal, value=cst.Name("None"))
            args.append(argument)
        return updated.with_changes(args=args)

    return edit
