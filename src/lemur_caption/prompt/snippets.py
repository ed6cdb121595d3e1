"""Inspiration out of classification Nets: the blocks that make each one what it is."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lemur_caption.errors import UsageError
from lemur_caption.prompt.excerpt import excerpt

# As `encoder_families` finds them in names without punctuation and case, and as `exclude` takes them.
ENCODER_FAMILIES = (
    *("alexnet", "convnext", "densenet", "efficientnet", "googlenet", "inception", "maxvit", "mnasnet", "mobilenet"),
    *("regnet", "resnet", "shufflenet", "squeezenet", "swin", "vgg", "visiontransformer"),
)
TRAINING_METHODS = ("train_setup", "learn")
DEFAULT_MAX_CHARS = 2400  # some 750 tokens
MOST_ALIKE = 0.6  # of two snippets' lines, numbers apart, before they count as siblings
Definition = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Snippet:
    """The key blocks of one classification Net: source that parses, without imports."""

    name: str
    code: str


def sample_snippets(
    pool: Iterable[tuple[str, str]],
    k: int,
    seed: int,
    exclude: Iterable[str] = (),
    max_chars: int = DEFAULT_MAX_CHARS,
) -> list[Snippet]:
    """`k` snippets of different Nets, drawn without replacement; the same arguments give the same snippets.

    `exclude` names families, such as "resnet": a Net is passed over where its name or the name of one of its classes
    contains one, case and punctuation ignored. So is a Net whose source does not parse, has no `nn.Module` with
    a `forward`, or is a sibling of a Net that is there already. Raises UsageError where fewer than `k` are left.
    """
    nets = sorted(pool)
    random.Random(seed).shuffle(nets)
    families = [plain for family in exclude if (plain := _plain_name(family))]
    chosen: list[Snippet] = []
    for name, source in nets:
        if len(chosen) == k:
            break
        code = key_blocks(source, max_chars, families) if not _names(name, families) else None
        if code and all(_likeness(code, other.code) <= MOST_ALIKE for other in chosen):
            chosen.append(Snippet(name, code))
    if len(chosen) < k:
        raise UsageError(f"{k} snippets were asked for, but only {len(chosen)} of {len(nets)} Nets can give one")
    return chosen


def encoder_families(source: str) -> tuple[str, ...]:
    """The encoder families that a Net's code names: in its imports, classes, calls and attributes, comments left out.

    Empty for a Net that names none, and for source that does not parse.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    names: set[str] = set()
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "module"):
            if isinstance(name := getattr(node, field, None), str):
                names.add(_plain_name(name))
    return tuple(family for family in ENCODER_FAMILIES if any(family in name for name in names))


def key_blocks(source: str, max_chars: int = DEFAULT_MAX_CHARS, families: Iterable[str] = ()) -> str | None:
    """The most informative blocks of a Net with the helpers that they call, in at most `max_chars` characters.

    A block is a class with a base and a `forward` of its own. The whole network is left out where it is made of
    blocks. Blocks that use more kinds of layers come first; classification heads and variants of other blocks come
    last. None where there is no block, where the source does not parse, or where a class belongs to one of `families`.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # ValueError: a NUL byte
        return None
    definitions = {node.name: node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    if any(_names(name, families) for name, node in definitions.items() if isinstance(node, ast.ClassDef)):
        return None
    used = {name: _used_names(node, definitions) for name, node in definitions.items()}
    classes = [name for name, node in definitions.items() if isinstance(node, ast.ClassDef)]
    # Only what classes are made of counts: a function that returns the whole network does not make it a block.
    parts = {part for name in classes for part in _with_helpers(name, used) if part != name}
    blocks = [name for name in classes if _is_block(definitions[name])]
    blocks = [name for name in blocks if name in parts] or blocks
    blocks.sort(key=lambda name: _rank(definitions[name], definitions))
    order = dict.fromkeys(part for name in blocks for part in _with_helpers(name, used))
    kept = [_without_training(source, definitions[name]) for name in order]
    if not kept:
        return None
    cut = excerpt("\n\n\n".join(kept), max_chars)
    return cut.code if cut else None


def _without_training(source: str, node: Definition) -> str:
    """A definition's source; of a LEMUR Net, without the methods that every Net has alike."""
    gone: set[int] = set()
    for part in node.body if _is_block(node) else ():
        if isinstance(part, ast.FunctionDef) and part.name in TRAINING_METHODS:
            gone.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    numbered = enumerate(source.splitlines(), start=1)
    return "\n".join(
        line for number, line in numbered if node.lineno <= number <= (node.end_lineno or 0) and number not in gone
    )


def _with_helpers(name: str, used: dict[str, list[str]]) -> Iterator[str]:
    """`name`, then the definitions that it uses, then those that they use."""
    seen = [name]
    for current in seen:  # grows as it is walked
        yield current
        seen += [other for other in used[current] if other not in seen]


def _is_block(node: Definition) -> bool:
    is_module = isinstance(node, ast.ClassDef) and bool(node.bases)
    return is_module and any(isinstance(part, ast.FunctionDef) and part.name == "forward" for part in node.body)


def _rank(node: Definition, known: Iterable[str]) -> tuple[bool, bool, int]:
    """Sorts the most informative block first."""
    is_head = any(isinstance(part, ast.arg) and part.arg == "num_classes" for part in ast.walk(node))
    is_variant = isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id in known for b in node.bases)
    return is_head, is_variant, -len(_layer_kinds(node))


def _used_names(node: Definition, known: Iterable[str]) -> list[str]:
    """The definitions of `known` that `node` uses, itself apart, in the order of their first use."""
    names = dict.fromkeys(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
    return [name for name in names if name in known and name != node.name]


def _layer_kinds(node: ast.AST) -> set[str]:
    """The different `nn.X`, `F.x` and `torch.x` that a definition uses."""
    return {
        f"{part.value.id}.{part.attr}"
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id in ("nn", "F", "torch")
    }


def _likeness(one: str, other: str) -> float:
    """The share of lines that two pieces of code have in common, whatever their numbers, from 0 to 1."""
    a, b = ({re.sub(r"\d+", "0", line.strip()) for line in code.splitlines()} - {""} for code in (one, other))
    return len(a & b) / len(a | b)


def _plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(name: str, families: Iterable[str]) -> bool:
    return any(family in _plain_name(name) for family in families)
