"""`bounded-inference`: a caption is written in a bounded number of steps, whatever the Net says."""

from __future__ import annotations

from typing import Any

import libcst as cst
from libcst import matchers as m

from .draft import Draft, as_block, dotted, methods, names_in, parameters, walk, walk_own

NAME = "bounded-inference"
MAX_LENGTH = 20
_LIMITS = ("max_len", "max_length", "max_steps", "max_seq_len", "max_caption_length")
_CHOICES = {"argmax", "topk", "multinomial", "max", "sort"}
_NOT_INFERENCE = {"__init__", "train_setup", "learn"}


def apply(draft: Draft) -> None:
    """Turn loops that choose words and end only when the Net says so into `for _ in range(limit)`."""
    while (loop := _next_loop(draft)) is not None:
        _bound(draft, *loop)


def _next_loop(draft: Draft) -> tuple[Any, Any] | None:
    for owner in draft.classes().values():
        for name, function in methods(owner).items():
            if name in _NOT_INFERENCE:
                continue
            for node in walk_own(function):
                if _is_unbounded(node) and _chooses(node):
                    if node.orelse is None:
                        return function, node
                    refusal = "the loop has an `else`, which would run at the limit; end the loop after a fixed number of steps"
                    if not any(refusal in said for said in draft.refusals):
                        draft.refuse(NAME, node, refusal)
    return None


def _is_unbounded(node: Any) -> bool:
    if isinstance(node, cst.For):
        endless = isinstance(node.iter, cst.Call) and dotted(node.iter.func) in ("itertools.count", "count")
        return endless and not node.iter.args and not _breaks_at_a_limit(node)
    if not isinstance(node, cst.While):
        return False
    # `while step < limit`, `while len(words) < limit` or `words.size(1) < limit` end by themselves.
    return not _compares_sizes(node.test) and not _breaks_at_a_limit(node)


def _compares_sizes(test: Any) -> bool:
    """Whether a test can hold only while one number is below another."""
    if isinstance(test, cst.BooleanOperation):
        both = (_compares_sizes(test.left), _compares_sizes(test.right))
        return all(both) if isinstance(test.operator, cst.Or) else any(both)
    order = (cst.LessThan, cst.LessThanEqual, cst.GreaterThan, cst.GreaterThanEqual)
    return isinstance(test, cst.Comparison) and isinstance(test.comparisons[0].operator, order)


def _breaks_at_a_limit(loop: Any) -> bool:
    """Whether the loop counts by itself: `if len(words) >= limit: break`."""
    found = [inner for inner in walk(loop.body) if isinstance(inner, cst.If) and _compares_sizes(inner.test)]
    return any(isinstance(inner, (cst.Break, cst.Return)) for test in found for inner in walk(test.body))


def _chooses(loop: Any) -> bool:
    """Whether a loop picks words, as every way of writing a caption does."""
    called = {
        dotted(node.func).rpartition(".")[2] or _last(node.func)
        for node in walk(loop.body)
        if isinstance(node, cst.Call)
    }
    return bool(called & _CHOICES)


def _last(func: Any) -> str:
    return str(func.attr.value) if isinstance(func, cst.Attribute) else ""


def _bound(draft: Draft, function: Any, loop: Any) -> None:
    limit = _limit(draft, function)
    indent = draft.module.default_indent
    counter = draft.code(loop.target) if isinstance(loop, cst.For) else "_"
    header = draft.parse(f"for {counter} in range({limit}):\n{indent}pass")[0]
    stop = []
    if isinstance(loop, cst.While) and not m.matches(loop.test, m.Name("True") | m.Integer("1")):
        stop = draft.parse(f"if {_negated(draft, loop.test)}:\n{indent}break")

    def edit(updated: Any) -> Any:
        body = as_block(updated.body) if stop else updated.body
        body = body.with_changes(body=[*stop, *body.body])
        return header.with_changes(body=body, leading_lines=updated.leading_lines)

    draft.changed(NAME, loop, f"the loop that writes a caption ends after {limit} steps")
    draft.edit({loop: edit})


def _negated(draft: Draft, test: Any) -> str:
    if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        return draft.code(test.expression)
    # `not` binds more tightly than `and` and `or` alone.
    loose = isinstance(test, (cst.BooleanOperation, cst.IfExp, cst.NamedExpr, cst.Lambda)) and not test.lpar
    return f"not ({draft.code(test)})" if loose else f"not {draft.code(test)}"


def _limit(draft: Draft, function: Any) -> str:
    """The Net's own limit where it has one in reach."""
    known = {parameter.name.value for parameter in parameters(function)} | {
        p.name.value for p in function.params.kwonly_params
    }
    for name in _LIMITS:
        if name in known:
            return name
    owner = draft.owner(function)
    stored = {dotted(node) for node in walk(owner) if isinstance(node, cst.Attribute)} if owner else set()
    if function.params.params and function.params.params[0].name.value == "self":
        for name in _LIMITS:
            if f"self.{name}" in stored:
                return f"self.{name}"
    module = {
        name
        for node in draft.module.body
        if m.matches(node, m.SimpleStatementLine([m.Assign()]))
        for name in names_in(node.body[0].targets[0])
    }
    for name in ("MAX_LENGTH", "MAX_LEN"):
        if name in module:
            return name
    return str(MAX_LENGTH)
