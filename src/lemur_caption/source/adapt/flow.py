"""Which `return`s of `forward` give teacher forcing's logits, and which give generated captions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import libcst as cst
from libcst import matchers as m

from .draft import Draft, assignments, dotted, is_none, methods, names_in, walk_own

# Whether the captions are None where a statement runs: `mixed` is both, by the path that led there.
State = Literal["none", "some", "mixed", "unclear"]
Kind = Literal["single", "pair", "tuple", "loss", "list", "unknown"]

_PAIR_LAYERS = {"LSTM", "GRU", "RNN", "LSTMCell", "MultiheadAttention"}
_SEVERAL = {"topk", "sort", "split", "chunk", "unbind", "max", "min", "median", "mode"}


def returns(body: Any, captions: str, state: State = "mixed") -> Iterator[tuple[Any, State]]:
    """Every `return` of a block with the state of `captions` there."""
    yield from _Walk(captions).block(body, state)


class _Walk:
    def __init__(self, captions: str) -> None:
        self.captions = captions
        self.left: State | None = None

    def block(self, block: Any, state: State | None) -> Iterator[tuple[Any, State]]:
        """Yields the returns below; `left` is then the state behind the block, None where none gets there."""
        for statement in block.body:
            if state is None:
                break
            if isinstance(statement, cst.If):
                yield from self.branch(statement, state)
                state = self.left
            elif isinstance(statement, (cst.For, cst.While, cst.With, cst.Try)):
                ends: list[State | None] = []
                for part in walk_blocks(statement):
                    yield from self.block(part, state)
                    ends.append(self.left)
                if isinstance(statement, cst.With):
                    state = ends[0]
            elif isinstance(statement, cst.SimpleStatementLine):
                state = yield from self.simple(statement, state)
        self.left = state

    def simple(self, line: Any, state: State) -> Any:
        now: State | None = state
        for small in line.body:
            if now is None:
                break
            if isinstance(small, cst.Return):
                yield small, now
                now = None
            elif isinstance(small, cst.Raise):
                now = None
            elif isinstance(small, cst.Assign):
                bound = {name for target in small.targets for name in _bound(target.target)}
                # `captions = captions[:, 0]` keeps what is known; another value does not.
                if self.captions in bound and self.captions not in names_in(small.value):
                    now = "unclear"
        return now

    def branch(self, statement: Any, state: State) -> Iterator[tuple[Any, State]]:
        yes, no = self.outcomes(statement.test, state)
        yield from self.block(_block(statement.body), yes)
        first = self.left
        second: State | None = no
        if isinstance(statement.orelse, cst.If):
            yield from self.branch(statement.orelse, no)
            second = self.left
        elif statement.orelse is not None:
            yield from self.block(_block(statement.orelse.body), no)
            second = self.left
        if first is None or second is None:
            self.left = second if first is None else first
        else:
            self.left = first if first == second else ("unclear" if "unclear" in (first, second) else "mixed")

    def outcomes(self, test: Any, state: State) -> tuple[State, State]:
        """The states where a test holds and where it does not."""
        if state in ("none", "some", "unclear"):
            return state, state
        if is_test(test, self.captions, cst.Is):
            return "none", "some"
        if is_test(test, self.captions, cst.IsNot):
            return "some", "none"
        if isinstance(test, cst.BooleanOperation):
            (a, b), (c, d) = self.outcomes(test.left, state), self.outcomes(test.right, state)
            if isinstance(test.operator, cst.And):
                return (a if a != "mixed" else c), "mixed"
            return "mixed", (b if b != "mixed" else d)
        if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
            yes, no = self.outcomes(test.expression, state)
            return no, yes
        return state, state


def is_test(test: Any, name: str, operator: Any) -> bool:
    """`name is None` or `name is not None`."""
    return (
        isinstance(test, cst.Comparison)
        and m.matches(test.left, m.Name(name))
        and len(test.comparisons) == 1
        and isinstance(test.comparisons[0].operator, operator)
        and is_none(test.comparisons[0].comparator)
    )


def _block(suite: Any) -> Any:
    return suite if isinstance(suite, cst.IndentedBlock) else cst.IndentedBlock([cst.SimpleStatementLine(suite.body)])


def walk_blocks(statement: Any) -> Iterator[Any]:
    """The blocks of a loop, `with` or `try`."""
    yield _block(statement.body)
    for part in (
        *getattr(statement, "handlers", ()),
        getattr(statement, "orelse", None),
        getattr(statement, "finalbody", None),
    ):
        if part is not None:
            yield _block(part.body)


def _bound(target: Any) -> set[str]:
    if isinstance(target, cst.Name):
        return {str(target.value)}
    return names_in(target) if isinstance(target, (cst.Tuple, cst.List)) else set()


def kind_of(draft: Draft, function: Any, owner: Any, node: Any, depth: int = 0) -> Kind:
    """What an expression in a method of `owner` gives: one tensor, (logits, state), a longer tuple, or the loss."""
    if depth > 6 or node is None:
        return "unknown"
    if isinstance(node, cst.Tuple):
        return "pair" if len(node.elements) == 2 else "tuple"
    if isinstance(node, cst.Name):
        bound = assignments(function, node.value)
        kinds = {"single" if value is None else kind_of(draft, function, owner, value, depth + 1) for _, value in bound}
        return _agree(kinds) if bound else "single"
    if isinstance(node, (cst.List, cst.ListComp)):
        return "list"
    if isinstance(node, cst.IfExp):
        return _agree({kind_of(draft, function, owner, part, depth + 1) for part in (node.body, node.orelse)})
    if isinstance(node, cst.Call):
        return _kind_of_call(draft, function, owner, node, depth)
    return "single" if isinstance(node, (cst.Subscript, cst.BinaryOperation, cst.UnaryOperation)) else "unknown"


def _agree(kinds: set[Any]) -> Kind:
    # `outputs = []` ahead of `outputs = torch.stack(outputs)` is no result.
    kinds = kinds - {"list"} or kinds
    return kinds.pop() if len(kinds) == 1 else "unknown"


def _kind_of_call(draft: Draft, function: Any, owner: Any, call: Any, depth: int) -> Kind:
    func = call.func
    called = dotted(func)
    last = called.rpartition(".")[2]
    if last in ("cross_entropy", "nll_loss") or called in ("self.criterion", "self.loss_fn", "self.criteria"):
        return "loss"
    if isinstance(func, cst.Subscript) and dotted(func.value) == "self.criteria":
        return "loss"
    target = callee(draft, owner, called)
    if target is not None:
        inner_owner, method = target
        values = [node.value for node in walk_own(method) if isinstance(node, cst.Return)]
        return (
            _agree({kind_of(draft, method, inner_owner, value, depth + 1) for value in values}) if values else "unknown"
        )
    if called.startswith("self."):
        layer = layer_class(owner, called.split(".")[1])
        name = layer.rpartition(".")[2]
        return "unknown" if not layer or layer in draft.classes() else "pair" if name in _PAIR_LAYERS else "single"
    if isinstance(func, cst.Attribute) and func.attr.value not in _SEVERAL:
        return "single"
    return "unknown"


def callee(draft: Draft, owner: Any, called: str) -> tuple[Any, Any] | None:
    """The (class, method) that `self.method`, `self.layer` or `self.layer.method` calls, where this file defines it."""
    parts = called.split(".")
    if parts[0] != "self" or not 2 <= len(parts) <= 3:
        return None
    own = methods(owner)
    if len(parts) == 2 and parts[1] in own:
        return owner, own[parts[1]]
    inner = draft.classes().get(layer_class(owner, parts[1]))
    name = parts[2] if len(parts) == 3 else "forward"
    if inner is None or name not in methods(inner):
        return None
    return inner, methods(inner)[name]


def layer_class(owner: Any, attribute: str) -> str:
    """The dotted class of `self.attribute = Class(…)`; '' where it is not one class."""
    made = set()
    for method in methods(owner).values():
        for node in walk_own(method):
            if isinstance(node, cst.Assign) and any(dotted(t.target) == f"self.{attribute}" for t in node.targets):
                made.add(dotted(node.value.func) if isinstance(node.value, cst.Call) else "")
    return made.pop() if len(made) == 1 else ""
