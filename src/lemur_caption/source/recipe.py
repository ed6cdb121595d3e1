"""What a Net's text suggests to train it with. Nets that differ in nothing else are different candidates."""

from __future__ import annotations

import ast
import re

from .tree import parse

_NAMES = "learning rate|lr|momentum|batch size|batch|dropout|weight decay|epochs"
_SUGGESTION = re.compile(rf"\b({_NAMES})\b\W{{0,4}}(?:of |is )?(\d+(?:\.\d+)?(?:e-?\d+)?)", re.IGNORECASE)


def suggestions(tree: ast.Module) -> tuple[tuple[str, float], ...]:
    """The hyperparameters that the docstrings of a file and its classes state, such as (("lr", 0.001),), sorted."""
    places: list[ast.Module | ast.ClassDef] = [tree]
    places += [statement for statement in tree.body if isinstance(statement, ast.ClassDef)]
    texts = (ast.get_docstring(place, clean=False) or "" for place in places)
    return tuple(
        sorted({(name.lower(), float(number)) for text in texts for name, number in _SUGGESTION.findall(text)})
    )


def suggested(source: str) -> dict[str, float]:
    """`lr` and `momentum` where the docstrings state just one, and a Net can be trained with it."""
    tree = parse(source)
    stated = suggestions(tree) if tree is not None else ()
    rates = {value for name, value in stated if name in ("lr", "learning rate") and 0 < value <= 1}
    momenta = {value for name, value in stated if name == "momentum" and value < 1}
    return {name: values.pop() for name, values in (("lr", rates), ("momentum", momenta)) if len(values) == 1}
