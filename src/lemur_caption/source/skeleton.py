"""From the encoder and decoder classes of an answer to a whole Net.

The Net around the two classes is `templates/skeleton/net.py.jinja`: it trains, decodes and asserts shapes, and is the same
for every answer. Of the answer it takes the two classes with the definitions and imports that they use, and nothing else.
A class that the answer lacks comes from the Net that is being mended, where there is one, else from the skeleton's own.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import jinja2

from lemur_caption.source.extraction.survey import is_stub, survey
from lemur_caption.source.roles import DECODER, ENCODER, ROLES, Role, constructor_call, find_class, forward_call
from lemur_caption.source.statements import Statement, classes_of, renamed, statements_of, used_by

HIDDEN_SIZES = {"pocket": 256, "full": 768}
LEAST_HIDDEN, MOST_HIDDEN = 16, 4096  # a number outside is a slip of the pen
# What the skeleton binds beside its two classes. An answer's own definition of such a name is renamed.
CONSTANTS = {"PAD": 0, "SOS": 1, "EOS": 2, "CAPTION_LENGTH": 20}
# Its imports. One that binds such a name to anything else, `from torch.nn import nn` for one, is left out.
MODULES = {"torch", "nn", "F", "math"}
TAKEN = {*CONSTANTS, *MODULES, "HIDDEN_SIZE", "Net", "supported_hyperparameters"}


@dataclass(frozen=True)
class Assembled:
    """A Net's source, None where neither class is in the answer; and in words what came from where."""

    source: str | None
    note: str


@dataclass(frozen=True)
class _Built:
    """A class as the template needs it: how it is built and called, and where it is from."""

    build: str
    inputs: str
    origin: str


def assemble(code: str, size: str = "pocket", earlier: str = "") -> Assembled:
    """The Net whose encoder and decoder are those of `code`.

    `size` is the scale of the Nets, `pocket` or `full`. `earlier` is the Net that `code` mends in part: what `code` lacks,
    its width among it, is taken from there. Never raises for what `code` holds; the same arguments give the same text. A
    class that is the skeleton's own but for comments becomes the skeleton's own, so that a copy of it is known as one.
    """
    answer, before = statements_of(code), statements_of(earlier)
    chosen: dict[Role, str] = {}
    origins: dict[Role, str] = {}
    for role in ROLES:
        for origin, statements in (("the answer's", answer), ("that of the Net before", before)):
            if role not in chosen and (found := find_class(classes_of(statements), role)):
                chosen[role], origins[role] = found.name, origin
    if "the answer's" not in origins.values():
        return Assembled(None, "the answer holds neither an encoder nor a decoder that is complete")
    # An unfinished class of the answer does not hide the one that is taken in its place.
    elsewhere = {chosen[role] for role in chosen if origins[role] != "the answer's"}
    scope = [*before, *(statement for statement in answer if elsewhere.isdisjoint(statement.names))]
    for role in ROLES:
        if role not in chosen:
            scope.append(_own(role))
            chosen[role], origins[role] = role.name, "the skeleton's own, as the answer has none that is complete"
    kept = [_as_own(statement) for statement in used_by(scope, chosen.values())]
    ours = [role for role in ROLES if _own(role) in kept]
    # The skeleton's own pair is one Net, whatever width stands beside a copy of it.
    width = _hidden_size(scope) if len(ours) < len(ROLES) else _hidden_size(before)
    hidden_size = width or HIDDEN_SIZES[size]
    taken = {"HIDDEN_SIZE", *(name for statement in kept for name in statement.names)}
    left_out = dict.fromkeys(name for statement in answer for name in statement.names if name not in taken)
    kept = [statement for statement in kept if not _is_given(statement)]
    new_names = {name: f"own_{name}" for statement in kept for name in statement.names if name in TAKEN}
    blocks = [renamed(statement, new_names) for statement in kept]
    classes = classes_of(scope)
    built = {
        role: _Built(
            build=constructor_call(classes, chosen[role], role),
            inputs=forward_call(classes, chosen[role], role),
            origin="the skeleton's own" if role in ours else "written by the model",
        )
        for role in ROLES
    }
    notes = [f"{role.name}: {built[role].build}, {origins[role]}" for role in ROLES]
    notes += [f"{role.name} repeats the example" for role in ours if "skeleton" not in origins[role]]
    notes += [f"left out: {', '.join(left_out)}"] if left_out else []
    notes += [f"renamed: {', '.join(new_names)}"] if new_names else []
    template = _templates().get_template("net.py.jinja")
    source = template.render(
        imports=_imports(code, earlier, blocks),
        hidden_size=hidden_size,
        blocks=blocks,
        encoder=built[ENCODER],
        decoder=built[DECODER],
    )
    return Assembled(source, "; ".join(notes))


def complete_roles(code: str) -> int:
    """How many of the two classes `code` holds."""
    classes = classes_of(statements_of(code))
    return sum(find_class(classes, role) is not None for role in ROLES)


def is_net(code: str) -> bool:
    """Whether `code` has a class Net that brings its own training."""
    found = survey(code).net
    if found is None or found.name != "Net":
        return False
    return {"forward", "learn"} <= {
        part.name for part in found.body if isinstance(part, ast.FunctionDef) and not is_stub(part)
    }


def blocks_of(code: str) -> str:
    """The encoder and decoder classes of a Net with what they use, without imports; empty where it has neither."""
    statements = statements_of(code)
    found = [node.name for role in ROLES if (node := find_class(classes_of(statements), role))]
    return "\n\n\n".join(statement.text for statement in used_by(statements, found)) + "\n" if found else ""


def own_blocks() -> str:
    """The skeleton's own encoder and decoder, plain and sound: the prompt's example."""
    return "\n\n\n".join(_own(role).text for role in ROLES) + "\n"


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("lemur_caption", "templates/skeleton"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Python source; nothing here is HTML
    )


@cache
def _own(role: Role) -> Statement:
    text = _templates().get_template(f"{role.name.lower()}.py.jinja").render().strip()
    return Statement(ast.parse(text).body[0], text, (role.name,))


def _as_own(statement: Statement) -> Statement:
    """The skeleton's own class in place of one that says the same."""
    same = (own for own in map(_own, ROLES) if own.names == statement.names and _plain(own) == _plain(statement))
    return next(same, statement)


def _plain(statement: Statement) -> str:
    """A statement without comments, docstrings and layout."""
    tree = ast.parse(statement.text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _hidden_size(scope: Sequence[Statement]) -> int | None:
    """The width that the answer, or the Net before, writes down as HIDDEN_SIZE."""
    for statement in reversed(scope):
        if statement.names == ("HIDDEN_SIZE",):
            value = getattr(statement.node, "value", None)
            width = value.value if isinstance(value, ast.Constant) else None
            return width if type(width) is int and LEAST_HIDDEN <= width <= MOST_HIDDEN else None
    return None


def _is_given(statement: Statement) -> bool:
    """Whether the skeleton has this already: its width, and constants of the same value."""
    if statement.names == ("HIDDEN_SIZE",):
        return True
    if not statement.names or not CONSTANTS.keys() >= set(statement.names):
        return False
    known = [CONSTANTS[name] for name in statement.names]
    return ast.unparse(statement.node).partition(" = ")[2].strip("()") == ", ".join(map(str, known))


def _imports(code: str, earlier: str, blocks: Sequence[str]) -> list[str]:
    """The imports, one name a line, that the blocks use and the skeleton lacks."""
    used = {node.id for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Name)}
    lines: dict[str, None] = {}
    for node in (*survey(earlier).body, *survey(code).body):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            is_given = bound in MODULES and (alias.asname is not None or "." not in alias.name)
            if (bound in used or bound == "*") and not is_given:
                lines[ast.unparse(_of_one(node, alias))] = None
    return sorted(lines)


def _of_one(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.stmt:
    """The import of one name alone."""
    if isinstance(node, ast.Import):
        return ast.Import(names=[alias])
    return ast.ImportFrom(module=node.module, names=[alias], level=node.level)
