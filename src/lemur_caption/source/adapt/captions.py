"""`five-captions` and `logits-length`: [B, 5, T] counts with its first caption, and T tokens give T-1 logits."""

from __future__ import annotations

import re
from typing import Any

import libcst as cst
from libcst import matchers as m

from . import flow
from .draft import (
    Draft,
    after_docstring,
    assignments,
    dotted,
    drop,
    followed_by,
    insert_at,
    keyword,
    parameters,
    put,
    walk_own,
)
from .forward import calls, captions_name, passed_captions

FIVE = "five-captions"
LENGTH = "logits-length"


def apply_five(draft: Draft) -> None:
    """Take the first of five captions, where nothing that forward gives them to tells two and three axes apart."""
    captions = captions_name(draft)
    forward = draft.method("forward")
    if _knows_three_axes(draft, forward, draft.net, captions):
        return
    test = f"{captions} is not None and {captions}.dim() == 3"
    lines = draft.parse(f"if {test}:\n{draft.module.default_indent}{captions} = {captions}[:, 0]")
    index = after_docstring(forward.body)
    draft.edit({forward: lambda updated: insert_at(updated, index, lines)})
    draft.changed(FIVE, forward, f"of {captions} [B, 5, T] forward takes the first")


def _knows_three_axes(draft: Draft, function: Any, owner: Any, name: str, depth: int = 0) -> bool:
    """Whether a function, or one that it hands `name` to, is written for captions [B, 5, T] or may be."""
    for node in walk_own(function):
        if isinstance(node, cst.Comparison) and m.matches(node.comparisons[0].comparator, m.Integer("3")):
            return True
        if isinstance(node, cst.Subscript) and dotted(node.value) == name:
            first = node.slice[1].slice if len(node.slice) > 1 else None
            if (
                len(node.slice) > 2
                or isinstance(first, cst.Index)
                or m.matches(node.slice[0].slice, m.Index(m.Ellipsis()))
            ):
                return True
        if not isinstance(node, cst.Call):
            continue
        if (
            isinstance(node.func, cst.Attribute)
            and dotted(node.func.value) == name
            and node.func.attr.value in ("reshape", "view", "flatten")
        ):
            return True
        place = next((index for index, argument in enumerate(node.args) if dotted(argument.value) == name), None)
        if place is None or dotted(node.func) in ("isinstance", "len"):
            continue
        target = flow.callee(draft, owner, dotted(node.func))
        if target is None or depth > 3:
            return True
        inner_owner, method = target
        given = node.args[place]
        static = any(dotted(decorator.decorator) == "staticmethod" for decorator in method.decorators)
        position = place + (0 if static else 1)
        inner = (
            given.keyword.value
            if given.keyword
            else (parameters(method)[position].name.value if position < len(parameters(method)) else "")
        )
        if not inner or _knows_three_axes(draft, method, inner_owner, inner, depth + 1):
            return True
    return False


def apply_length(draft: Draft) -> None:
    """Undo the two ways in which older Nets give T logits for T tokens."""
    _drop_front_padding(draft)
    _drop_extra_start(draft)


def _drop_front_padding(draft: Draft) -> None:
    """`torch.cat([zeros, logits], dim=1)`: an empty first position, put there for a metric that compared by position."""
    captions = captions_name(draft)
    forward = draft.method("forward")
    for node, known in flow.returns(forward.body, captions):
        if known != "some" or node.value is None:
            continue
        value = node.value
        if isinstance(value, cst.Name):
            bound = assignments(forward, value.value)
            value = next((found for _, found in reversed(bound) if _padded(found) is not None), None)
        parts = _padded(value)
        if parts is None:
            continue
        pad, logits = parts
        zeros = _zeros_statement(draft, forward, pad)
        if zeros is None or not _shifted(forward):
            continue
        if calls(draft):
            draft.refuse(
                LENGTH,
                value,
                "the logits have a position too many in front, and the Net trains with it; return them without it",
            )
            return
        edits: dict[Any, Any] = {value: put(logits), draft.statement(value): _shorten_comment}
        if isinstance(pad, cst.Name):
            edits[zeros] = drop
        draft.changed(LENGTH, value, "teacher forcing returns the T-1 logits without the empty position in front")
        draft.edit(edits)
        return


def _shorten_comment(updated: Any) -> Any:
    """A comment that gives the shape [B, T, V] behind the statement now says [B, T-1, V]."""
    comment = updated.trailing_whitespace.comment
    if comment is None:
        return updated
    value = re.sub(r"\bT(, ?V\b)", r"T-1\1", comment.value)
    space = updated.trailing_whitespace.with_changes(comment=comment.with_changes(value=value))
    return updated.with_changes(trailing_whitespace=space)


def _padded(value: Any) -> tuple[Any, Any] | None:
    """(padding, logits) of `torch.cat([padding, logits], dim=1)`."""
    if not isinstance(value, cst.Call) or dotted(value.func) not in ("torch.cat", "torch.concat") or not value.args:
        return None
    axis = keyword(value, "dim") or (value.args[1] if len(value.args) > 1 else None)
    parts = value.args[0].value
    if (
        axis is None
        or not m.matches(axis.value, m.Integer("1"))
        or not isinstance(parts, (cst.List, cst.Tuple))
        or len(parts.elements) != 2
    ):
        return None
    return parts.elements[0].value, parts.elements[1].value


def _zeros_statement(draft: Draft, forward: Any, pad: Any) -> Any:
    """The statement that makes zeros [B, 1, V], where nothing else uses them; None for other tensors."""
    value, statement = pad, draft.statement(pad)
    if isinstance(pad, cst.Name):
        bound = assignments(forward, pad.value)
        uses = [node for node in walk_own(forward) if m.matches(node, m.Name(pad.value))]
        if len(bound) != 1 or len(uses) != 2:
            return None
        value, statement = bound[0][1], draft.statement(bound[0][0])
    if not isinstance(value, cst.Call) or dotted(value.func).rpartition(".")[2] not in ("zeros", "new_zeros"):
        return None
    sizes = value.args[0].value.elements if isinstance(value.args[0].value, (cst.Tuple, cst.List)) else value.args
    plain = [size.value for size in sizes if getattr(size, "keyword", None) is None]
    return statement if len(plain) == 3 and m.matches(plain[1], m.Integer("1")) and len(statement.body) == 1 else None


def _shifted(function: Any) -> bool:
    """Whether some tensor goes on without its last position, as captions do on their way to a decoder."""
    return any(_without_last(node) is not None for node in walk_own(function))


def _without_last(node: Any) -> str | None:
    """`x` of `x[:, :-1]`."""
    last = m.SubscriptElement(m.Slice(lower=None, upper=m.UnaryOperation(m.Minus(), m.Integer("1"))))
    if m.matches(node, m.Subscript(slice=[m.SubscriptElement(m.Slice(lower=None, upper=None)), last])):
        return dotted(node.value) or None
    return None


def _drop_extra_start(draft: Draft) -> None:
    """`inputs = cat([<SOS>, captions[:, :-1]])` with `targets = captions`: captions begin with <SOS> already."""
    captions = captions_name(draft)
    forward = draft.method("forward")
    found = [
        node
        for node in walk_own(forward)
        if isinstance(node, cst.Assign) and (parts := _padded(node.value)) and _without_last(parts[1]) == captions
    ]
    if len(found) != 1 or not m.matches(found[0].targets[0].target, m.Name()):
        return
    (inputs,) = found
    outputs = [
        node for node, known in flow.returns(forward.body, captions) if known != "none" and node.value is not None
    ]
    pair: Any = outputs[0].value if len(outputs) == 1 else None
    if not m.matches(pair, m.Tuple([m.Element(m.Name()), m.Element(m.Name())])):
        draft.refuse(
            LENGTH,
            inputs,
            "forward puts another <SOS> in front of the captions and so gives T logits; feed captions[:, :-1] alone",
        )
        return
    targets = pair.elements[1].value.value
    bound = assignments(forward, targets)
    unpacking = [draft.parent(call) for call in calls(draft)]
    whole = len(bound) == 1 and m.matches(bound[0][1], m.Name(captions)) and len(draft.statement(bound[0][0]).body) == 1
    if not whole or not all(
        _unpacks_two(node) and isinstance(passed_captions(draft, node.value), cst.Name) for node in unpacking
    ):
        draft.refuse(
            LENGTH,
            inputs,
            "forward puts another <SOS> in front of the captions and returns targets that the Net uses in an unknown way",
        )
        return
    _shift_by_one(draft, forward, inputs, pair, bound[0][0], unpacking)


def _unpacks_two(node: Any) -> bool:
    return bool(
        m.matches(node, m.Assign(targets=[m.AssignTarget(m.Tuple([m.Element(m.Name()), m.Element(m.Name())]))]))
    )


def _shift_by_one(draft: Draft, forward: Any, inputs: Any, pair: Any, target_assign: Any, unpacking: list[Any]) -> None:
    parts = inputs.value.args[0].value.elements
    start, shifted = parts[0].value, parts[1].value
    state = parameters(forward)[3].name.value if len(parameters(forward)) > 3 else "None"
    edits: dict[Any, Any] = {
        inputs.value: put(shifted),
        pair.elements[1].value: put(cst.Name(state)),
        draft.statement(target_assign): drop,
    }
    if isinstance(start, cst.Name):
        uses = [node for node in walk_own(forward) if m.matches(node, m.Name(start.value))]
        made = assignments(forward, start.value)
        if len(made) == 1 and len(uses) == 2 and len(draft.statement(made[0][0]).body) == 1:
            edits[draft.statement(made[0][0])] = drop
    for node in unpacking:
        name = node.targets[0].target.elements[1].value
        passed = draft.code(passed_captions(draft, node.value))
        line = draft.parse(f"{name.value} = {passed}[:, 1:].contiguous()")
        edits[name] = put(cst.Name("_"))
        edits[draft.statement(node)] = followed_by(line)
    draft.changed(
        LENGTH, inputs, "the decoder reads captions[:, :-1] without a second <SOS>; learn compares with captions[:, 1:]"
    )
    draft.edit(edits)
