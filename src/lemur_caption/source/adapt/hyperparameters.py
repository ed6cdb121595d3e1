"""`hyperparameters` and `momentum-used`: the file declares `{'lr', 'momentum'}` and reads both."""

from __future__ import annotations

from typing import Any

import libcst as cst

from .draft import (
    TIGHT,
    Draft,
    after_docstring,
    appended,
    as_block,
    dotted,
    keyword,
    parameters,
    put,
    string,
    subscript_key,
    walk,
    walk_own,
)

DECLARED = "hyperparameters"
USED = "momentum-used"
NAMES = ("lr", "momentum")
_FUNCTION = "supported_hyperparameters"
_BETAS = {"Adam", "AdamW", "NAdam", "RAdam", "Adamax"}
_MOMENTUM = {"SGD", "RMSprop"}
_BETA = "min({prm}['momentum'], 0.999)"


def apply_declared(draft: Draft) -> None:
    """`supported_hyperparameters` returns exactly `{'lr', 'momentum'}`, in its first statement."""
    functions = [node for node in draft.module.body if isinstance(node, cst.FunctionDef)]
    function = next((node for node in functions if node.name.value == _FUNCTION), None)
    if function is None:
        _declare(draft)
        return
    returned = [node for node in walk_own(function) if isinstance(node, cst.Return)]
    declared = _strings(returned[0].value) if len(returned) == 1 else None
    start = after_docstring(as_block(function.body))
    if declared is None or len(function.body.body) > start + 1:
        draft.refuse(DECLARED, function, f"{_FUNCTION} does more than return names; let it return {{'lr', 'momentum'}}")
        return
    for node in walk(draft.module):
        name = string(subscript_key(node))
        if name is not None and name in set(declared) - set(NAMES):
            reason = f"LEMUR is to draw 'lr' and 'momentum' alone, and `{draft.code(node)}` has no default"
            draft.refuse(DECLARED, node, f"{reason}; read it as .get({name!r}, DEFAULT)")
            return
    if sorted(declared) == sorted(NAMES) and isinstance(returned[0].value, cst.Set) and start == 0:
        return
    draft.changed(DECLARED, returned[0], f"{_FUNCTION} returns {{'lr', 'momentum'}} in its first statement")
    edits: dict[Any, Any] = {returned[0].value: put(cst.parse_expression("{'lr', 'momentum'}"))}
    if start:
        edits[function.body] = _docstring_to_comment
    draft.edit(edits)


def _declare(draft: Draft) -> None:
    net = draft.net
    new = draft.parse(f"def {_FUNCTION}():\n{draft.module.default_indent}return {{'lr', 'momentum'}}")[0]
    space = [cst.EmptyLine(indent=False)] * 2
    draft.changed(DECLARED, net, f"the file declares {_FUNCTION}")
    first, second = new.with_changes(leading_lines=space), net.leading_lines or space
    draft.edit({net: lambda updated: cst.FlattenSentinel([first, updated.with_changes(leading_lines=second)])})


def _docstring_to_comment(updated: Any) -> Any:
    """A block `docstring, return` becomes the return with a comment above it."""
    docstring, statement = updated.body
    text = string(docstring.body[0].value) or ""
    lines = [line.strip() for line in text.strip().splitlines()]
    comments = [cst.EmptyLine(comment=cst.Comment(f"# {line}".rstrip())) for line in lines]
    leading = [*docstring.leading_lines, *comments, *statement.leading_lines]
    return updated.with_changes(body=[statement.with_changes(leading_lines=leading)])


def _strings(value: Any) -> list[str] | None:
    """The texts of a set, list or tuple literal, also inside `set(…)`."""
    if isinstance(value, cst.Call) and dotted(value.func) in ("set", "frozenset") and len(value.args) == 1:
        value = value.args[0].value
    if not isinstance(value, (cst.Set, cst.List, cst.Tuple)):
        return None
    texts = [string(element.value) for element in value.elements]
    return [text for text in texts if text is not None] if None not in texts else None


def apply_used(draft: Draft) -> None:
    """The optimizer takes `lr` and `momentum` from prm; for the Adam family momentum is beta 1."""
    missing = [name for name in NAMES if not any(_reads(node, name) for node in walk(draft.module))]
    if not missing:
        return
    setup = draft.method("train_setup")
    prm = parameters(setup)[1].name.value if len(parameters(setup)) > 1 else "prm"
    optimizers = [
        node
        for node in walk_own(setup)
        if isinstance(node, cst.Call) and dotted(node.func).rpartition(".")[2] in _BETAS | _MOMENTUM
    ]
    if len(optimizers) != 1:
        draft.refuse(
            USED,
            setup,
            f"{' and '.join(missing)} unused, and train_setup makes not one optimizer of a known kind; read it from {prm}",
        )
        return
    (call,) = optimizers
    name = dotted(call.func).rpartition(".")[2]
    new = call
    for hyperparameter in missing:
        if hyperparameter == "lr":
            changed = (
                _set(draft, new, "lr", f"{prm}['lr']") if keyword(new, "lr") is not None or len(new.args) < 2 else None
            )
        elif name in _MOMENTUM:
            changed = _set(draft, new, "momentum", f"{prm}['momentum']")
        else:
            changed = _betas(draft, new, prm)
        if changed is None:
            draft.refuse(
                USED,
                call,
                f"{name} gets its {hyperparameter} in a way that is not understood; read {prm}['{hyperparameter}'] there",
            )
            return
        new = changed
        draft.changed(
            USED,
            call,
            f"{name} uses {prm}['{hyperparameter}']"
            + (" as beta 1" if hyperparameter == "momentum" and name in _BETAS else ""),
        )
    draft.edit({call: put(new)})


def _reads(node: Any, name: str) -> bool:
    if isinstance(node, cst.Subscript):
        return string(subscript_key(node)) == name
    if (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Attribute)
        and node.func.attr.value in ("get", "pop", "setdefault")
    ):
        return bool(node.args) and string(node.args[0].value) == name
    return False


def _betas(draft: Draft, call: Any, prm: str) -> Any:
    given = keyword(call, "betas")
    second = "0.999"
    if given is not None:
        if not isinstance(given.value, cst.Tuple) or len(given.value.elements) != 2:
            return None
        second = draft.code(given.value.elements[1].value)
    return _set(draft, call, "betas", f"({_BETA.format(prm=prm)}, {second})")


def _set(draft: Draft, call: Any, name: str, value: str) -> Any:
    """A call with `name=value`, in place of what it had there or behind its other arguments."""
    node = cst.parse_expression(value)
    given = keyword(call, name)
    if given is not None:
        return call.with_changes(args=[a.with_changes(value=node) if a is given else a for a in call.args])
    if any(argument.star for argument in call.args):
        return None
    return call.with_changes(args=appended(call.args, cst.Arg(node, keyword=cst.Name(name), equal=TIGHT)))
