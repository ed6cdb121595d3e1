"""`vanished-imports` and `vocabulary`: the file imports what exists, and stands alone."""

from __future__ import annotations

from typing import Any

import libcst as cst
from libcst import matchers as m

from .draft import Draft, dotted, followed_by, parameters, put, string, subscript_key, walk

VANISHED = "vanished-imports"
VOCABULARY = "vocabulary"
_GLOBAL = "GLOBAL_CAPTION_VOCAB"
_TOKENS = ("<PAD>", "<SOS>", "<EOS>", "<UNK>")
_CONSTANT = """{name} = {{
{indent}'word2idx': {{'<PAD>': 0, '<SOS>': 1, '<EOS>': 2, '<UNK>': 3}},
{indent}'idx2word': {{0: '<PAD>', 1: '<SOS>', 2: '<EOS>', 3: '<UNK>'}},
}}"""

# Where names went that torch and torchvision no longer have; None where nothing replaces them.
_MOVED: dict[str, str | None] = {
    "torch._six.container_abcs": "from collections import abc as {name}",
    "torch._six.inf": "from math import inf as {name}",
    "torch._six.string_classes": "{name} = (str, bytes)",
    "torch._six.int_classes": "{name} = int",
    "torchvision.models.utils.load_state_dict_from_url": "from torch.hub import load_state_dict_from_url as {name}",
    "torchvision.models.resnet.model_urls": None,
    "torchvision.models.densenet.model_urls": None,
    "torchvision.models.vgg.model_urls": None,
    "torchvision.models.inception.model_urls": None,
    "torchvision.models.mobilenet.model_urls": None,
}
# The only names of LEMUR that a captioning Net has a use for.
_LEMUR_NAMES = {_GLOBAL}


def imported(module: Any) -> dict[str, str]:
    """Every name that imports bind, with the dotted path that it stands for."""
    names: dict[str, str] = {}
    for node in walk(module):
        if isinstance(node, cst.Import):
            for alias in node.names:
                path = dotted(alias.name)
                if alias.asname:
                    names[alias.asname.name.value] = path
                else:
                    names[path.partition(".")[0]] = path.partition(".")[0]
        elif (
            isinstance(node, cst.ImportFrom) and node.module is not None and not isinstance(node.names, cst.ImportStar)
        ):
            for alias in node.names:
                names[_bound(alias)] = f"{dotted(node.module)}.{dotted(alias.name)}"
    return names


def _bound(alias: Any) -> str:
    return str(alias.asname.name.value) if alias.asname else dotted(alias.name)


def apply_vanished(draft: Draft) -> None:
    """Replace or drop imports of names that are gone; refuse where the file needs such a name."""
    refused: set[str] = set()
    while (found := _next_vanished(draft, refused)) is not None:
        _replace(draft, *found, refused)


def _next_vanished(draft: Draft, refused: set[str]) -> tuple[Any, Any, str] | None:
    """The next (import, its alias, dotted path) of a name that is gone, refused ones left out."""
    for node in walk(draft.module):
        if not isinstance(node, cst.ImportFrom) or node.module is None or isinstance(node.names, cst.ImportStar):
            continue
        module = dotted(node.module)
        for alias in node.names:
            path = f"{module}.{dotted(alias.name)}"
            lemur = module.split(".")[:2] == ["ab", "nn"] and dotted(alias.name) not in _LEMUR_NAMES
            if (path in _MOVED or lemur) and path not in refused:
                return node, alias, path
    return None


def _replace(draft: Draft, node: Any, alias: Any, path: str, refused: set[str]) -> None:
    name = _bound(alias)
    statement = draft.statement(node)
    own = set(walk(statement))
    used = any(m.matches(other, m.Name(name)) and other not in own for other in walk(draft.module))
    new = _MOVED.get(path)
    lines = draft.parse(new.format(name=name)) if new and used else []
    if (used and not lines) or len(statement.body) != 1:
        why = "is gone" if path in _MOVED else "belongs to LEMUR, and a Net stands alone"
        draft.refuse(VANISHED, node, f"{path} {why}; write what the Net needs of it into the file")
        refused.add(path)
        return
    done = f"`{draft.code(lines[0])}` stands for it" if lines else "nothing uses it, and its import is dropped"
    draft.changed(VANISHED, node, f"{path}: {done}")
    kept = [other for other in node.names if other is not alias]
    if kept:
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        draft.edit({node: put(node.with_changes(names=kept)), statement: followed_by(lines)})
        return
    if not lines and len(draft.parent(statement).body) == 1:
        lines = draft.parse("pass")  # a block needs a statement
    leading, trailing = statement.leading_lines, statement.trailing_whitespace
    lines = [line.with_changes(leading_lines=leading, trailing_whitespace=trailing) for line in lines]
    draft.edit({statement: put(cst.FlattenSentinel(lines))})


def apply_vocabulary(draft: Draft) -> None:
    """LEMUR's vocabulary becomes a constant: of the words, a Net needs the four reserved tokens, whose ids are fixed."""
    found = _vocabulary_import(draft)
    if found is None:
        return
    node, statement = found
    for other in walk(draft.module):
        if _needs_words(draft, other):
            reason = f"`{draft.code(other)}` needs LEMUR's whole vocabulary, which a Net that stands alone has not"
            draft.refuse(VOCABULARY, other, f"{reason}; take sizes from out_shape, and leave words to LEMUR's metrics")
            return
    name = _bound(node.names[0])
    constant = draft.parse(_CONSTANT.format(name=name, indent=draft.module.default_indent))[0]
    draft.changed(VOCABULARY, node, f"{name} holds the four reserved tokens and needs no LEMUR to import")
    draft.edit({statement: put(constant.with_changes(leading_lines=statement.leading_lines))})


def _vocabulary_import(draft: Draft) -> tuple[Any, Any] | None:
    """The import of the vocabulary, and the statement to replace: its line, or the `try` that does nothing else."""
    for node in walk(draft.module):
        if not isinstance(node, cst.ImportFrom) or node.module is None or isinstance(node.names, cst.ImportStar):
            continue
        if [dotted(alias.name) for alias in node.names] != [_GLOBAL]:
            continue
        line = draft.statement(node)
        outer = draft.parent(draft.parent(line))
        statement = outer if isinstance(outer, cst.Try) and len(outer.body.body) == 1 else line
        alone = statement is outer or len(line.body) == 1
        if alone and isinstance(draft.parent(statement), cst.Module):
            return node, statement
    return None


def _needs_words(draft: Draft, node: Any) -> bool:
    """Whether an expression counts the vocabulary, or looks up any word in it without asking first."""
    if isinstance(node, cst.Call):
        return dotted(node.func) == "len" and _is_vocabulary(node.args[0].value)
    if not isinstance(node, cst.Subscript) or not _is_vocabulary(node.value):
        return False
    key = subscript_key(node)
    function = draft.function(node)
    known = string(key) in _TOKENS or isinstance(key, cst.Integer)
    given = function is not None and dotted(node.value) in {parameter.name.value for parameter in parameters(function)}
    inside = m.ComparisonTarget(operator=m.In(), comparator=m.Name() | m.Attribute())
    asked = function is not None and any(
        m.matches(inner, inside) and dotted(inner.comparator) == dotted(node.value) for inner in walk(function)
    )
    return not (known or given or asked)


def _is_vocabulary(node: Any) -> bool:
    return dotted(node).rpartition(".")[2] in ("word2idx", "idx2word")
