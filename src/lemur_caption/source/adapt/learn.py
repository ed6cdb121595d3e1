"""`learn-returns`: `learn` gives back what it measured, which LEMUR 2.2.11 needs and older Nets leave out."""

from __future__ import annotations

from typing import Any

import libcst as cst
from libcst import matchers as m

from .draft import (
    AdaptError,
    Draft,
    after_docstring,
    dotted,
    insert_at,
    is_none,
    methods,
    names_in,
    put,
    unused_name,
    walk,
    walk_own,
)

NAME = "learn-returns"
# Calls on a tensor that have no effect and cost next to nothing, so that writing them twice changes nothing.
_VIEWS = {"reshape", "view", "contiguous", "size", "flatten", "long", "transpose", "permute", "squeeze", "unsqueeze"}
_IMPURE = (cst.NamedExpr, cst.Await, cst.Yield, cst.Lambda, cst.ListComp, cst.GeneratorExp)


def apply(draft: Draft) -> None:
    """Sum the loss of every batch after its `.backward()`, and the token accuracy where the criterion's call shows it."""
    learn = draft.method("learn")
    nodes = list(walk_own(learn))
    if any(isinstance(node, cst.Yield) for node in nodes):
        raise AdaptError(f"line {draft.line(learn)}: learn is a generator; LEMUR calls it once an epoch")
    returns = [node for node in nodes if isinstance(node, cst.Return)]
    empty = [node for node in returns if node.value is None or is_none(node.value)]
    if len(empty) < len(returns):
        _judge(draft, returns, empty)
        return
    losses = [node for node in nodes if _is_backward(node)]
    if not losses:
        raise AdaptError(_why_no_loop(draft, learn))
    _rewrite(draft, learn, losses, empty)


def _judge(draft: Draft, returns: list[Any], empty: list[Any]) -> None:
    """Say what is wrong with values that learn returns already, as far as the text tells."""
    for node in empty:
        draft.refuse(
            NAME, node, "learn returns a value in one place and none here; return (accuracy, mean loss) in both"
        )
    for node in returns:
        if isinstance(node.value, (cst.Dict, cst.SimpleString, cst.FormattedString, cst.List, cst.Set)):
            kind = type(node.value).__name__.lower()
            draft.refuse(NAME, node, f"learn returns a {kind}; return (accuracy, mean loss)")
        elif isinstance(node.value, cst.Tuple) and len(node.value.elements) != 2:
            count = len(node.value.elements)
            draft.refuse(NAME, node, f"learn returns {count} values; return (accuracy, mean loss)")


def _is_backward(node: Any) -> bool:
    return bool(m.matches(node, m.Call(func=m.Attribute(attr=m.Name("backward")))))


def _why_no_loop(draft: Draft, learn: Any) -> str:
    line = draft.line(learn)
    if any(_is_backward(node) for node in walk(learn)):
        return f"line {line}: learn calls .backward() inside a nested function; call it in the loop over the batches"
    for node in walk_own(learn):
        called = dotted(node.func) if isinstance(node, cst.Call) else ""
        helper = methods(draft.net).get(called.removeprefix("self.")) if called.startswith("self.") else None
        if helper is not None and any(_is_backward(inner) for inner in walk(helper)):
            return f"line {draft.line(node)}: learn trains in {called}; move its .backward() into the loop over the batches"
    return f"line {line}: learn never calls .backward(), so it has no loss to return"


def _rewrite(draft: Draft, learn: Any, losses: list[Any], empty: list[Any]) -> None:
    taken = names_in(learn)
    loss_sum, batches = unused_name("loss_sum", taken), unused_name("batches", taken)
    edits: dict[Any, Any] = {}
    counted: list[Any] = []
    for call in losses:
        if not any(isinstance(outer, (cst.For, cst.While)) for outer in _within(draft, call, learn)):
            raise AdaptError(f"line {draft.line(call)}: learn has no loop over its batches around .backward()")
        statement = draft.statement(call)
        if not isinstance(statement, cst.SimpleStatementLine):
            raise AdaptError(
                f"line {draft.line(call)}: the loop with .backward() stands on one line; give it lines of its own"
            )
        block = draft.parent(statement)
        new = [f"{loss_sum} += {{loss}}.item()"]
        if not any(block is other for other in counted):
            if not all(_exclusive(draft, block, other) for other in counted):
                where = f"line {draft.line(call)}: learn"
                raise AdaptError(
                    f"{where} calls .backward() at several depths of its loop; sum the losses, call it once"
                )
            counted.append(block)
            new.append(f"{batches} += 1")
        _record(draft, learn, call, statement, new, taken, edits)

    start = [f"{loss_sum}, {batches} = 0.0, 0"]
    end = f"return {loss_sum} / max({batches}, 1)"
    criterion = _criterion_call(draft, learn, losses)
    if criterion is not None:
        hits, tokens = unused_name("hits", taken), unused_name("tokens", taken)
        scores, targets = unused_name("predicted", taken), unused_name("expected", taken)
        logits, labels = (_operand(draft, argument.value) for argument in criterion.args[:2])
        lines = [
            # The classes of a cross-entropy lie on axis 1, for [N, V] and for [B, V, T].
            f"{scores}, {targets} = {logits}.argmax(dim=1), {labels}",
            f"{hits} += (({scores} == {targets}) & ({targets} != 0)).sum().item()",
            f"{tokens} += ({targets} != 0).sum().item()",
        ]
        statement = draft.statement(criterion)
        edits[statement] = _chain(edits.get(statement), _appending(draft, lines, first=True))
        start.append(f"{hits}, {tokens} = 0, 0")
        end = f"return {hits} / max({tokens}, 1), {loss_sum} / max({batches}, 1)"

    for node in empty:
        edits[node] = lambda updated: draft.parse(end)[0].body[0].with_changes(semicolon=updated.semicolon)
    outermost = [statement for statement in learn.body.body if any(call in set(walk(statement)) for call in losses)]
    index = learn.body.body.index(outermost[0])
    if any(node in set(walk(statement)) for node in empty for statement in learn.body.body[:index]):
        index = after_docstring(learn.body)
    last = learn.body.body[-1]
    returns_last = m.matches(last, m.SimpleStatementLine(body=[m.ZeroOrMore(), m.Return()]))

    def finish(updated: Any) -> Any:
        if not returns_last:
            updated = insert_at(updated, len(updated.body.body), draft.parse(end))
        return insert_at(updated, index, draft.parse(*start))

    edits[learn] = finish
    draft.changed(NAME, losses[0], f"learn sums its loss batch by batch: `{end}`")
    draft.edit(edits)


def _within(draft: Draft, node: Any, top: Any) -> list[Any]:
    outer = []
    for ancestor in draft.ancestors(node):
        if ancestor is top:
            break
        outer.append(ancestor)
    return outer


def _exclusive(draft: Draft, first: Any, second: Any) -> bool:
    """Whether two blocks are branches of one `if`, of which only one runs."""
    chains = [[block, *draft.ancestors(block)] for block in (first, second)]
    common = next(node for node in chains[0] if any(node is other for other in chains[1]))
    return isinstance(common, cst.If)


def _record(
    draft: Draft, learn: Any, call: Any, statement: Any, lines: list[str], taken: set[str], edits: dict[Any, Any]
) -> None:
    """Have the loss of one `.backward()` counted, right behind it."""
    loss, scaled = _loss_of(draft, call)
    if isinstance(loss, cst.Call) and not _pure(loss):
        # A loss that no name holds: give it one, so that it is not computed twice.
        name = unused_name("loss", taken)
        before = draft.parse(f"{name} = {draft.code(loss)}")
        edits[loss] = put(cst.Name(name))
        edits[statement] = _chain(
            lambda updated: [
                before[0].with_changes(leading_lines=updated.leading_lines),
                updated.with_changes(leading_lines=[]),
            ],
            _appending(draft, [line.format(loss=name) for line in lines]),
        )
        return
    new = [line.format(loss=_operand(draft, loss)) for line in lines]
    division = None if scaled or not isinstance(loss, cst.Name) else _division(draft, learn, loss.value, call)
    if division is not None:
        # Gradient accumulation divides the loss before backward; what is reported is the loss itself.
        edits[division] = _chain(edits.get(division), lambda updated: [*draft.parse(*new), updated])
        return
    edits[statement] = _chain(edits.get(statement), _appending(draft, new))


def _loss_of(draft: Draft, call: Any) -> tuple[Any, bool]:
    """The expression of the loss before a scaler or a division by a number of steps, and whether there was one."""
    if any(argument.keyword is None for argument in call.args):
        raise AdaptError(
            f"line {draft.line(call)}: .backward() is called with an argument; only `loss.backward()` is understood"
        )
    loss, scaled = call.func.value, False
    while True:
        if m.matches(loss, m.Call(func=m.Attribute(attr=m.Name("scale")), args=[m.Arg()])):
            loss = loss.args[0].value
        elif m.matches(loss, m.BinaryOperation(operator=m.Divide())):
            loss, scaled = loss.left, True
        else:
            return loss, scaled


def _operand(draft: Draft, node: Any) -> str:
    """The text of an expression that a `.` may follow; brackets go around what needs them."""
    text = draft.code(node)
    atom = isinstance(node, (cst.Name, cst.Attribute, cst.Subscript, cst.Call)) and "\n" not in text
    return text if atom or node.lpar else f"({text})"


def _division(draft: Draft, learn: Any, name: str, call: Any) -> Any:
    """The statement `loss = loss / n` or `loss /= n` ahead of backward, where there is one."""
    divided = m.BinaryOperation(left=m.Name(name), operator=m.Divide())
    pattern = m.Assign(targets=[m.AssignTarget(m.Name(name))], value=divided) | m.AugAssign(
        target=m.Name(name), operator=m.DivideAssign()
    )
    for node in walk_own(learn):
        if node is call:
            return None
        if m.matches(node, pattern):
            return draft.statement(node)
    return None


def _criterion_call(draft: Draft, learn: Any, losses: list[Any]) -> Any:
    """The one cross-entropy call of learn, where its arguments may be written a second time; None otherwise."""
    calls = [node for node in walk_own(learn) if isinstance(node, cst.Call) and _is_cross_entropy(draft, learn, node)]
    if len(calls) != 1:
        return None
    (call,) = calls
    plain = [argument for argument in call.args if argument.keyword is None and not argument.star]
    statement = draft.statement(call)
    if len(plain) < 2 or call.args[:2] != tuple(plain[:2]) or not isinstance(statement, cst.SimpleStatementLine):
        return None
    inside = any(isinstance(outer, (cst.For, cst.While)) for outer in _within(draft, call, learn))
    # A comprehension has names of its own, which end with it.
    looped = any(
        isinstance(outer, (cst.ListComp, cst.GeneratorExp, cst.SetComp)) for outer in _within(draft, call, learn)
    )
    return call if inside and not looped and all(_pure(argument.value) for argument in plain[:2]) else None


def _is_cross_entropy(draft: Draft, learn: Any, call: Any) -> bool:
    func = call.func.value if isinstance(call.func, cst.Subscript) else call.func
    called = dotted(func)
    if called.rpartition(".")[2] in ("cross_entropy", "nll_loss"):
        return True
    for node in walk(draft.net if called.startswith("self.") else learn):
        if isinstance(node, cst.Assign) and any(dotted(target.target) == called for target in node.targets):
            made = {dotted(inner.func).rpartition(".")[2] for inner in walk(node.value) if isinstance(inner, cst.Call)}
            if made & {"CrossEntropyLoss", "NLLLoss"}:
                return True
    return False


def _pure(node: Any) -> bool:
    for inner in walk(node):
        if isinstance(inner, _IMPURE):
            return False
        if isinstance(inner, cst.Call) and not (
            isinstance(inner.func, cst.Attribute)
            and inner.func.attr.value in _VIEWS
            and dotted(inner.func.value) != "self"
        ):
            return False
    return True


def _appending(draft: Draft, lines: list[str], *, first: bool = False) -> Any:
    """An edit that puts lines behind a statement, or behind the first of what an earlier edit made of it."""

    def edit(updated: Any) -> Any:
        done = updated if isinstance(updated, list) else [updated]
        new = draft.parse(*lines)
        return [done[0], *new, *done[1:]] if first and len(done) > 1 else [*done, *new]

    return edit


def _chain(first: Any, second: Any) -> Any:
    """One edit after another on the same statement; lists become several statements."""

    def edit(updated: Any) -> Any:
        done = first(updated) if first else updated
        done = list(done.nodes) if isinstance(done, cst.FlattenSentinel) else done
        done = second(done)
        return cst.FlattenSentinel(done) if isinstance(done, list) else done

    return edit
