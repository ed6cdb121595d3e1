"""`forward-arguments` and `hidden-state`: `forward(images, captions=None, hidden_state=None)` -> `(logits, hidden_state)`."""

from __future__ import annotations

from typing import Any

import libcst as cst
from libcst import matchers as m

from . import flow
from .draft import (
    TIGHT,
    AdaptError,
    Draft,
    after_docstring,
    appended,
    assignments,
    dotted,
    insert_at,
    is_none,
    methods,
    parameters,
    put,
    walk,
    walk_own,
)

ARGUMENTS = "forward-arguments"
RETURN = "hidden-state"
_GENERATORS = (
    "generate",
    "sample",
    "greedy_decode",
    "greedy_search",
    "generate_caption",
    "generate_captions",
    "caption_images",
    "inference",
    "predict",
)
_STATES = ("hidden", "state")
_STATE_NAMES = {"h", "hx", "hc"}


def captions_name(draft: Draft) -> str:
    """What forward calls its captions. Raises AdaptError where it takes images alone."""
    forward = draft.method("forward")
    taken = parameters(forward)
    if len(taken) < 3:
        raise AdaptError(f"line {draft.line(forward)}: forward takes no captions; this is no captioning Net")
    return str(taken[2].name.value)


def apply_arguments(draft: Draft) -> None:
    """Captions may be left out, and a third argument takes a decoder's state."""
    captions = captions_name(draft)
    _default_captions(draft, captions)
    forward = draft.method("forward")
    taken = parameters(forward)
    if forward.params.star_arg and isinstance(forward.params.star_arg, cst.Param) and len(taken) == 3:
        return  # *args takes a state
    if len(taken) > 3 and _is_state(taken[3].name.value):
        if taken[3].default is None:
            draft.edit({taken[3]: _default_none})
            draft.changed(ARGUMENTS, forward, f"{taken[3].name.value} may be left out")
        return
    if any(len([argument for argument in call.args if argument.keyword is None]) > 2 for call in calls(draft)):
        third = taken[3].name.value if len(taken) > 3 else "another"
        reason = f"the third argument of forward is {third}, which the Net passes by position"
        draft.refuse(ARGUMENTS, forward, f"{reason}; put hidden_state=None before it")
        return
    if "hidden_state" in {parameter.name.value for parameter in [*taken, *forward.params.kwonly_params]}:
        draft.refuse(ARGUMENTS, forward, "hidden_state is not the third argument of forward; move it there")
        return
    new = cst.Param(cst.Name("hidden_state"), default=cst.Name("None"), equal=TIGHT)
    known, rest = forward.params.params[:3], forward.params.params[3:]
    between = [*known, new.with_changes(comma=known[-1].comma), *rest]
    params = between if rest else appended(known, new, "whitespace_after_param")
    draft.changed(ARGUMENTS, forward, "forward takes hidden_state=None")
    draft.edit({forward.params: lambda updated: updated.with_changes(params=params)})


def _default_none(parameter: Any) -> Any:
    around = cst.SimpleWhitespace(" " if parameter.annotation else "")
    return parameter.with_changes(default=cst.Name("None"), equal=cst.AssignEqual(around, around))


def _default_captions(draft: Draft, captions: str) -> None:
    forward = draft.method("forward")
    parameter = parameters(forward)[2]
    if parameter.default is not None:
        return
    handles = any(flow.is_test(node, captions, op) for node in walk(forward) for op in (cst.Is, cst.IsNot))
    if not handles:
        found = [name for name in _GENERATORS if name in methods(draft.net)]
        required = [p for p in parameters(methods(draft.net)[found[0]])[1:] if p.default is None] if found else []
        if len(required) != 1:
            reason = f"forward needs {captions}, and no method of Net writes captions from images alone"
            draft.refuse(ARGUMENTS, forward, f"{reason}; add one, and call it when {captions} is None")
            return
        images = parameters(forward)[1].name.value
        lines = draft.parse(f"if {captions} is None:\n{draft.module.default_indent}return self.{found[0]}({images})")
        index = after_docstring(forward.body)
        draft.edit({forward: lambda updated: insert_at(updated, index, lines), parameter: _default_none})
        draft.changed(ARGUMENTS, forward, f"without {captions}, forward calls self.{found[0]}")
        return
    draft.edit({parameter: _default_none})
    draft.changed(ARGUMENTS, forward, f"{captions} may be left out")


def _is_state(name: str) -> bool:
    return name in _STATE_NAMES or any(part in name for part in _STATES)


def calls(draft: Draft, *, captions: bool = True) -> list[Any]:
    """The Net's calls of its own forward; with `captions`, those alone that pass any."""
    found = []
    for node in walk(draft.net):
        if isinstance(node, cst.Call) and dotted(node.func) in ("self", "self.forward", "self.__call__"):
            passed = passed_captions(draft, node)
            if not captions or (passed is not None and not is_none(passed)):
                found.append(node)
    return found


def passed_captions(draft: Draft, call: Any) -> Any:
    """The expression that a call passes for the captions, or None."""
    plain = [argument for argument in call.args if argument.keyword is None]
    if len(plain) > 1:
        return plain[1].value
    named = [argument for argument in call.args if argument.keyword and argument.keyword.value == captions_name(draft)]
    return named[0].value if named else None


def apply_return(draft: Draft) -> None:
    """Teacher forcing returns `(logits, hidden_state)`; the Net's own calls take the first of the two."""
    captions = captions_name(draft)
    forward = draft.method("forward")
    taken = parameters(forward)
    if len(taken) < 4 or not _is_state(taken[3].name.value):
        return
    state = taken[3].name.value
    edits: dict[Any, Any] = {}
    changed = []
    for node, known in flow.returns(forward.body, captions):
        if known == "none":
            continue
        kind = flow.kind_of(draft, forward, draft.net, node.value)
        if kind in ("pair", "loss"):
            continue
        if kind != "single" or known == "unclear" or (known == "mixed" and not isinstance(node.value, cst.Name)):
            draft.refuse(
                RETURN,
                node,
                f"`{draft.code(node)}` cannot be told to be logits; return (logits, {state}) when captions are given",
            )
            return
        changed.append(node)
        edits[node] = _pairing(captions, state, mixed=known == "mixed")
    if not changed:
        return
    for call in calls(draft):
        problem = _cannot_unpack(draft, call)
        if problem:
            draft.refuse(RETURN, call, problem)
            return
        edits[call] = lambda updated: cst.Subscript(updated, [cst.SubscriptElement(cst.Index(cst.Integer("0")))])
    for node in changed:
        edits.update(_keep_state(draft, forward, node.value, state))
    draft.changed(RETURN, changed[0], f"forward returns (logits, {state})")
    draft.edit(edits)


def _pairing(captions: str, state: str, *, mixed: bool) -> Any:
    def edit(updated: Any) -> Any:
        value = updated.value
        if isinstance(value, (cst.IfExp, cst.Lambda)) and not value.lpar:
            value = value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        pair = cst.Tuple([cst.Element(value), cst.Element(cst.Name(state))], lpar=[], rpar=[])
        if mixed:
            pair = pair.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
            pair = cst.IfExp(body=value, test=cst.parse_expression(f"{captions} is None"), orelse=pair)
        return updated.with_changes(value=pair, whitespace_after_return=cst.SimpleWhitespace(" "))

    return edit


def _cannot_unpack(draft: Draft, call: Any) -> str:
    if any(argument.star for argument in call.args):
        return "the Net calls its own forward with a starred argument; name the arguments"
    parent = draft.parent(call)
    if isinstance(parent, cst.Assign) and any(
        isinstance(target.target, (cst.Tuple, cst.List)) for target in parent.targets
    ):
        return "the Net unpacks what its own forward returns as one tensor"
    passed = passed_captions(draft, call)
    function = draft.function(call)
    if isinstance(passed, cst.Name) and any(
        p.name.value == passed.value and p.default is not None and is_none(p.default) for p in parameters(function)
    ):
        return f"{function.name.value} passes captions on that may be None; it cannot tell what forward returns"
    return ""


def _keep_state(draft: Draft, forward: Any, logits: Any, state: str) -> dict[Any, Any]:
    """`logits, _ = …` keeps the state under its name, where `_` is thrown away."""
    if not isinstance(logits, cst.Name):
        return {}
    bound = [node for node, _ in assignments(forward, logits.value) if isinstance(node, cst.Assign)]
    uses = [node for node in walk_own(forward) if m.matches(node, m.Name("_"))]
    pattern = m.Tuple([m.Element(m.Name(logits.value)), m.Element(m.Name("_"))])
    found = [node for node in bound if len(node.targets) == 1 and m.matches(node.targets[0].target, pattern)]
    if len(found) != 1 or len(uses) != 1:
        return {}
    return {uses[0]: put(cst.Name(state))}
