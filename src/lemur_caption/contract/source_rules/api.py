"""LC102 to LC106: the Net API, as far as the text shows it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lemur_caption.contract.report import Finding
from lemur_caption.contract.rule import Rule
from lemur_caption.contract.source_rules.library import MISSING, UNKNOWN, dotted_path, resolve
from lemur_caption.contract.source_rules.parse import Source

Function = ast.FunctionDef | ast.AsyncFunctionDef

NET_CLASS = Rule(
    id="LC102",
    name="net-class",
    stage="source",
    severity="error",
    rationale="LEMUR builds the class `Net` of the module and calls it as a torch module; no other name is looked for.",
    message="{problem}",
    hint="Define `class Net(nn.Module):` at the top level of the file.",
    example_bad="class CaptionModel(nn.Module): ...",
    example_good="class Net(nn.Module): ...",
)
METHODS = Rule(
    id="LC103",
    name="net-methods",
    stage="source",
    severity="error",
    rationale="LEMUR calls `Net(...)`, `train_setup`, `learn` and `forward` by name; a missing one ends the trial.",
    message="Net has no method {method}",
    hint="Give Net the methods `__init__(self, in_shape, out_shape, prm, device)`, `train_setup(self, prm)`, "
    "`learn(self, train_data)` and `forward(self, images, captions=None, hidden_state=None)`.",
    example_bad="class Net(nn.Module):\n    def forward(self, images): ...",
    example_good="class Net(nn.Module):\n    def __init__(self, in_shape, out_shape, prm, device): ...\n"
    "    def train_setup(self, prm): ...\n    def learn(self, train_data): ...\n"
    "    def forward(self, images, captions=None, hidden_state=None): ...",
)
ARGUMENTS = Rule(
    id="LC104",
    name="method-arguments",
    stage="source",
    severity="error",
    rationale="LEMUR passes these arguments by position, so their number must fit; their names are free.",
    message="{method} {problem}",
    hint="Use exactly `__init__(self, in_shape, out_shape, prm, device)`, `train_setup(self, prm)`, "
    "`learn(self, train_data)` and `forward(self, images, captions=None, hidden_state=None)`.",
    example_bad="def forward(self, images, captions): ...",
    example_good="def forward(self, images, captions=None, hidden_state=None): ...",
)
HYPERPARAMETERS = Rule(
    id="LC105",
    name="hyperparameters-literal",
    stage="source",
    severity="error",
    rationale="LEMUR's Optuna study samples the names that `supported_hyperparameters` returns, and NNGPT reads them from "
    "the text of its first statement without running it.",
    message="{problem}",
    hint="Write `def supported_hyperparameters():` at the top level, its body the one line `return {'lr', 'momentum'}`.",
    example_bad="def supported_hyperparameters():\n    names = ['lr']\n    return names",
    example_good="def supported_hyperparameters():\n    return {'lr', 'momentum'}",
)
USED = Rule(
    id="LC106",
    name="hyperparameters-used",
    stage="source",
    severity="error",
    rationale="A hyperparameter that the Net never reads makes every trial of the study the same; NNGPT rejects a Net whose "
    "text does not name each one, in quotes, a second time.",
    message="hyperparameter '{name}' is never read as prm['{name}']",
    hint="Read both in train_setup, for example `torch.optim.AdamW(self.parameters(), lr=prm['lr'], "
    "betas=(min(prm['momentum'], 0.999), 0.999))`.",
    example_bad="self.optimizer = torch.optim.AdamW(self.parameters(), lr=prm['lr'])",
    example_good="self.optimizer = torch.optim.SGD(self.parameters(), lr=prm['lr'], momentum=prm['momentum'])",
)
RULES = (NET_CLASS, METHODS, ARGUMENTS, HYPERPARAMETERS, USED)

NAMES = ("lr", "momentum")
# What LEMUR passes beside `self`. The lenient profile asks only for what LEMUR itself calls: it never passes a hidden state.
CALLS = {"__init__": (4, 4), "train_setup": (1, 1), "learn": (1, 1), "forward": (1, 3)}
LENIENT_CALLS = CALLS | {"forward": (1, 2)}


def check_net(source: Source, lenient: bool) -> Iterator[Finding]:
    """LC102, LC103 and LC104."""
    classes = {node.name: node for node in source.tree.body if isinstance(node, ast.ClassDef)}
    net = classes.get("Net")
    if net is None:
        inner = next((node for node in source.find(ast.ClassDef) if node.name == "Net"), None)
        if inner is not None:
            yield NET_CLASS.finding(*source.at(inner), problem="class Net is not at the top level of the file")
        elif not _binds_net(source):
            yield NET_CLASS.finding(1, 1, problem="the file defines no class Net")
        return
    lineage, bases = _lineage(source, net, classes)
    if not any(base is UNKNOWN or _is_module(base) for base in bases):
        yield NET_CLASS.finding(*source.at(net), problem="class Net does not inherit from torch.nn.Module")
        return
    for name, (least, most) in (LENIENT_CALLS if lenient else CALLS).items():
        method = _attribute(lineage, name)
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
            problem = arity_problem(method, least, most)
            if problem:
                yield ARGUMENTS.finding(*source.at(method), method=name, problem=problem)
        elif method is None and not any(base is UNKNOWN or _brings(base, name) for base in bases):
            yield METHODS.finding(*source.at(net), method=name)


def _binds_net(source: Source) -> bool:
    """Whether the module makes a `Net` in another way than by a class statement; then only building it tells more."""
    return any(node.id == "Net" and isinstance(node.ctx, ast.Store) for node in source.find(ast.Name)) or any(
        (node.asname or node.name) == "Net" for node in source.find(ast.alias)
    )


def _lineage(
    source: Source, net: ast.ClassDef, classes: dict[str, ast.ClassDef]
) -> tuple[list[ast.ClassDef], list[object]]:
    """Net and its base classes in this file, and the classes that those inherit from elsewhere (or UNKNOWN)."""
    lineage: list[ast.ClassDef] = []
    bases: list[object] = []
    todo = [net]
    while todo:
        owner = todo.pop(0)
        if owner in lineage:
            continue
        lineage.append(owner)
        for base in owner.bases:
            if isinstance(base, ast.Name) and base.id in classes:
                todo.append(classes[base.id])
            elif isinstance(base, ast.Name) and base.id == "object":
                bases.append(object)
            else:
                found = resolve(dotted_path(source, base) or "?")
                bases.append(UNKNOWN if found is MISSING else found)
    return lineage, bases


def _is_module(base: object) -> bool:
    import torch

    return isinstance(base, type) and issubclass(base, torch.nn.Module)


def _brings(base: object, name: str) -> bool:
    """Whether a library class has a method of its own under this name; nn.Module's raise or do nothing."""
    import torch

    return hasattr(base, name) and getattr(base, name) is not getattr(
        torch.nn.Module, name, getattr(object, name, None)
    )


def _attribute(lineage: list[ast.ClassDef], name: str) -> ast.stmt | None:
    """The statement that gives the class attribute `name`, nearest class first, a class's last statement first."""
    for owner in lineage:
        for node in reversed(owner.body):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if node.name == name:
                    return node
            elif any(
                (isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and inner.name == name)
                or (isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Store))
                for inner in ast.walk(node)
            ):
                return node
    return None


def arity_problem(method: Function, least: int, most: int) -> str:
    """Why a method cannot be called with `least` to `most` positional arguments beside `self`; empty where it can."""
    if isinstance(method, ast.AsyncFunctionDef):
        return "is a coroutine, and LEMUR does not await it"
    bound = 1
    for decorator in method.decorator_list:
        if isinstance(decorator, ast.Name) and decorator.id == "staticmethod":
            bound = 0
        elif isinstance(decorator, ast.Name) and decorator.id == "property":
            return "is a property and cannot be called"
    arguments = method.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if bound and not positional and not arguments.vararg:
        return "takes no self"
    keyword_only = [
        a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    ]
    if keyword_only:
        return f"requires {keyword_only[0]} by keyword, and LEMUR passes it by position"
    required = max(len(positional) - len(arguments.defaults) - bound, 0)
    accepted = len(positional) - bound
    if required > least:
        names = ", ".join(a.arg for a in positional[bound:][:required])
        return f"requires {required} arguments ({names}), and is called with {least}"
    if not arguments.vararg and accepted < most:
        return f"takes {accepted} arguments, and is called with {most}"
    return ""


def check_hyperparameters(source: Source, lenient: bool) -> Iterator[Finding]:
    """LC105 and LC106."""
    functions = [
        node
        for node in source.tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "supported_hyperparameters"
    ]
    if not functions:
        yield HYPERPARAMETERS.finding(1, 1, problem="the file defines no function supported_hyperparameters")
        return
    function = functions[-1]
    names, problem = _declared(function, lenient)
    if problem:
        yield HYPERPARAMETERS.finding(*source.at(function), problem=problem)
    inside = set(ast.walk(function))
    for name in names:
        if not any(_reads(source, node, name) for node in source.find(ast.Constant) if node not in inside):
            yield USED.finding(*source.at(function), name=name)


def _declared(function: Function, lenient: bool) -> tuple[list[str], str]:
    """The names whose use is to be checked, and what is wrong with the declaration."""
    if isinstance(function, ast.AsyncFunctionDef):
        return [], "supported_hyperparameters is a coroutine"
    required = len(function.args.posonlyargs) + len(function.args.args) - len(function.args.defaults)
    if required or None in function.args.kw_defaults:
        return [], "supported_hyperparameters takes arguments, and LEMUR passes none"
    returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    first = returns[0] if lenient and returns else function.body[0]
    if not isinstance(first, ast.Return):
        return [], "the first statement of supported_hyperparameters is not its return"
    if not isinstance(first.value, ast.Set):
        return [], "" if lenient else "supported_hyperparameters does not return a set literal"
    if not all(isinstance(item, ast.Constant) and isinstance(item.value, str) for item in first.value.elts):
        return [], "supported_hyperparameters returns something else than string literals"
    names = [str(item.value) for item in first.value.elts if isinstance(item, ast.Constant)]
    if set(names) == set(NAMES):
        return list(NAMES), ""
    if lenient:
        return [], ""
    return [], f"supported_hyperparameters returns {{{', '.join(map(repr, names))}}}, not {{'lr', 'momentum'}}"


def _reads(source: Source, node: ast.AST, name: str) -> bool:
    """Whether a string constant is the key of a mapping being read: prm['lr'], prm.get('lr', …), prm.pop('lr')."""
    if not isinstance(node, ast.Constant) or node.value != name:
        return False
    parent = source.parents[node]
    if isinstance(parent, ast.Subscript):
        return parent.slice is node and isinstance(parent.ctx, ast.Load)
    if isinstance(parent, ast.Call):
        called = parent.func.attr if isinstance(parent.func, ast.Attribute) else getattr(parent.func, "id", "")
        return node in parent.args and called in ("get", "pop", "setdefault", "itemgetter", "getattr")
    return False
