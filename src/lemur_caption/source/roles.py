"""The two classes that the skeleton asks for: how they are found in an answer, built and called.

A model that has the task right may still name things its own way: `ImageEncoder(in_channels, embed_dim)`, or a decoder that
takes the features before the captions. Where the names leave no doubt the skeleton follows them; where they do, it calls
the class as the prompt says, and the contract reports what does not fit.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lemur_caption.source.extraction.survey import is_stub

CHANNELS, WORDS, HIDDEN = "in_shape[1]", "self.vocab_size", "HIDDEN_SIZE"
_CHANNEL_NAMES = (
    "channels in_channels input_channels image_channels img_channels num_channels n_channels in_ch in_chans"
)
_WORD_NAMES = "vocab_size vocab vocabulary_size num_words n_words num_tokens n_tokens"
_HIDDEN_NAMES = """hidden_size hidden_dim hidden embed_size embed_dim embedding_size embedding_dim emb_size emb_dim d_model
    model_dim dim feature_size feature_dim features_dim memory_size memory_dim encoder_dim decoder_dim"""
_OUTPUT_NAMES = "output_size output_dim out_dim out_features projection_dim proj_dim"
_OTHERS = {
    **dict.fromkeys(("image_size", "img_size"), "in_shape[2]"),
    **{name: name for name in ("in_shape", "out_shape", "prm", "device")},
}
# Only where an answer gives no default of its own.
_MODEST = {
    **dict.fromkeys(("num_heads", "n_heads", "nhead", "heads"), "4"),
    **dict.fromkeys(("num_layers", "n_layers", "layers"), "2"),
    **dict.fromkeys(("dropout", "dropout_rate", "drop"), "0.1"),
}
_TOKENS = re.compile(r"token|caption|word|tgt|target|ids?$|seq|inputs?$|^x$", re.IGNORECASE)
_MEMORY = re.compile(r"memory|feature|enc|image|img|context|visual", re.IGNORECASE)
_STATE = re.compile(r"state|hidden|^hx?$", re.IGNORECASE)
_PART = re.compile(r"layer|block|cell|stage|stem", re.IGNORECASE)
_BACKBONE = re.compile(r"backbone|cnn|extractor|vision|vit|resnet|convnet", re.IGNORECASE)
_CHAIN = 8  # classes of an answer that inherit from one another


@dataclass(frozen=True)
class Role:
    """One of the two classes. `arguments` and `inputs` are what the prompt says that it takes."""

    name: str
    arguments: tuple[str, str]
    inputs: tuple[str, ...]
    names: Mapping[str, str]

    def __hash__(self) -> int:
        return hash(self.name)


def _named(words: str, value: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), value)


_SHARED = {**_OTHERS, **_named(_WORD_NAMES, WORDS), **_named(_HIDDEN_NAMES, HIDDEN)}
ENCODER = Role(
    "Encoder",
    (CHANNELS, HIDDEN),
    ("images",),
    {**_SHARED, **_named(_CHANNEL_NAMES, CHANNELS), **_named(_OUTPUT_NAMES, HIDDEN)},
)
DECODER = Role("Decoder", (WORDS, HIDDEN), ("tokens", "memory"), _SHARED)
ROLES = (ENCODER, DECODER)
Classes = Mapping[str, ast.ClassDef]


def find_class(classes: Classes, role: Role) -> ast.ClassDef | None:
    """The class that plays the role: by its name, else by its constructor; complete, and not a part of another one."""
    scores = {name: _score(classes, node, role) for name, node in classes.items()}
    able = [name for name, score in scores.items() if score]
    parts = {
        each.id for name in able for each in ast.walk(classes[name]) if isinstance(each, ast.Name) and each.id != name
    }
    # `max` takes the first of equals; the last is the model's last word.
    best = max(reversed(able), key=lambda name: (name not in parts, scores[name]), default=None)
    return classes[best] if best else None


def _score(classes: Classes, node: ast.ClassDef, role: Role) -> int:
    """How much a class is named like the role; 0 where it cannot play it."""
    forward = _method(classes, node, "forward")
    methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    if node.name == "Net" or "learn" in methods or forward is None or not _returns(forward):
        return 0
    other = DECODER if role is ENCODER else ENCODER
    name = node.name.lower()
    if other.name.lower() in name:
        return 0
    if node.name == role.name:
        return 4
    if role.name.lower() in name:
        return 1 if _PART.search(name) else 3
    init = _method(classes, node, "__init__")
    takes = {role.names.get(part.arg.lower()) for part, _ in _parameters(init)} if init else set()
    if role is DECODER:
        return 2 * (WORDS in takes and len(list(_parameters(forward))) >= 2)
    return 2 * (_BACKBONE.search(name) is not None and WORDS not in takes)


def _method(classes: Classes, node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """A method that is more than a stub, the class's own or that of a class of the answer that it derives from."""
    current: ast.ClassDef | None = node
    for _ in range(_CHAIN):
        if current is None:
            return None
        for part in reversed(current.body):
            if isinstance(part, ast.FunctionDef) and part.name == name:
                return None if is_stub(part) else part
        bases = [base.id for base in current.bases if isinstance(base, ast.Name)]
        current = next((classes[base] for base in bases if base in classes), None)
    return None


def _returns(function: ast.FunctionDef) -> bool:
    return any(isinstance(part, ast.Return) and part.value is not None for part in ast.walk(function))


def _parameters(function: ast.FunctionDef) -> Iterator[tuple[ast.arg, bool]]:
    """Each parameter after `self`, and whether it must be given."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    least = len(positional) - len(given.defaults)
    yield from [(part, place < least) for place, part in enumerate(positional)][1:]
    yield from [(part, value is None) for part, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)]


def constructor_call(classes: Classes, name: str, role: Role) -> str:
    """`name(…)` as the skeleton writes it: by the parameters' names where all that must be given are known."""
    init = _method(classes, classes[name], "__init__")
    if init is None:
        return f"{name}()"
    as_asked = f"{name}({', '.join(role.arguments)})"
    values: dict[str, str] = {}
    for part, must in _parameters(init):
        value = role.names.get(part.arg.lower()) or (_MODEST.get(part.arg.lower()) if must else None)
        if value is not None:
            values[part.arg] = value
        elif must:
            return as_asked
    if tuple(values.values()) == role.arguments:
        return as_asked
    return f"{name}({', '.join(f'{argument}={value}' for argument, value in values.items())})"


def forward_call(classes: Classes, name: str, role: Role) -> str:
    """The arguments of the class's forward: in the answer's order where the names tell it; a state to start from is None."""
    forward = _method(classes, classes[name], "forward")
    must = [part.arg for part, needed in _parameters(forward) if needed] if forward else []
    inputs = list(role.inputs)
    if role is DECODER and len(must) >= 2:
        if _MEMORY.search(must[0]) and _TOKENS.search(must[1]) and not _TOKENS.search(must[0]):
            inputs.reverse()
        inputs += ["None" for extra in must[2:] if _STATE.search(extra)]
    return ", ".join(inputs)
