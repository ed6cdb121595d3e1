"""The decoder's parts, and what it reads of the image, among the operators that depend on the words."""

from __future__ import annotations

import math

from .recording import PRODUCTS, SOFTMAXES, Op, Recording, Value

PARTS = ("memory", "memory_size", "decoder", "attention", "hidden_size", "layers", "heads", "tied_embeddings")
_WEIGHING = PRODUCTS | {"mul", "mul_"}
_JOINING = {**dict.fromkeys((*PRODUCTS, "mul", "mul_"), "dot"), **dict.fromkeys(("add", "add_", "cat"), "additive")}


def find(recording: Recording) -> dict[str, str | int | bool | None]:
    """Parts of the decoder:

    - `decoder`: `lstm`, `gru` or `rnn` for torch.nn's recurrent layers and cells that read words; `transformer` for
      self-attention among words, `lstm+transformer` for both; else `other`;
    - `attention`: how the words look at the image, by what their scores are made with: `dot` (products of a query and the
      memory), `additive` (sums of them, or both side by side, through a layer), `none` without a softmax over the memory;
    - `memory`: `grid` where the decoder can tell places of the image apart, else `token`; None where nothing of the image
      reaches it. `memory_size`: the vectors that attention chooses from, or 1;
    - `hidden_size`: of the recurrent layers, else of the word embedding; `layers`: recurrent, or of self-attention; `heads`
      of a Transformer's self-attention;
    - `tied_embeddings`: whether a word is written with the matrix that words are read with.
    """
    ops = recording.ops
    looks, own = _attention(recording)
    longest = max((op.choices for op in own), default=0)
    whole = [op for op in own if op.choices == longest]
    recurrent = list(recording.recurrent.values())
    kinds = [*dict.fromkeys(layer.kind for layer in recurrent)]
    if any(op.causal for op in own) or (own and not kinds):
        kinds.append("transformer")
    embedding = next((op for op in ops if op.name == "embedding" and op.words), None)
    size = max((op.choices for op in looks), default=longest - recording.words if own else 0)
    memory = _memory(ops, size)
    return {
        "memory": memory,
        "memory_size": max(size, 1) if memory else None,
        "decoder": "+".join(kinds) or "other",
        "attention": _kind(ops, looks[-1]) if looks else "none",
        "hidden_size": recurrent[0].hidden_size if recurrent else embedding.shape[-1] if embedding else None,
        "layers": sum(layer.layers for layer in recurrent) or len(whole) or None,
        "heads": math.prod(whole[0].shape[1:-2] if len(whole[0].shape) > 3 else whole[0].shape[:-2]) if whole else None,
        "tied_embeddings": embedding is not None and _is_tied(ops, embedding),
    }


def _attention(recording: Recording) -> tuple[list[Op], list[Op]]:
    """The softmaxes whose weights fall on the image, and those whose weights fall on words."""
    looks: list[Op] = []
    own: list[Op] = []
    for op in recording.ops:
        if op.name in SOFTMAXES and op.words:
            weighed = next((other for other in recording.readers(op) if other.name in _WEIGHING), None)
            if weighed is None:
                continue
            on_image = any(value.is_image for value in weighed.inputs)
            (looks if on_image else own).append(op)
    return looks, own


def _kind(ops: list[Op], softmax: Op) -> str:
    """How the scores of attention are made: by the last operator before them that words and image meet in."""
    waiting = {value.producer for value in softmax.data if value.producer >= 0}
    while waiting:
        op = ops[max(waiting)]
        waiting.remove(op.index)
        if any(value.is_image for value in op.inputs) and any(value.words for value in op.inputs):
            return _JOINING.get(op.name, "other")
        waiting |= {value.producer for value in op.data if value.words and value.producer >= 0}
    return "other"


def _memory(ops: list[Op], size: int) -> str | None:
    if size > 0:
        return "grid" if size > 1 else "token"
    if not any(value.is_image for op in ops if op.words for value in op.inputs):
        return None
    return "grid" if any(map(_flattens, ops)) else "token"


def _flattens(op: Op) -> bool:
    """Whether an operator lays the places of an image side by side in one vector."""
    if not op.is_image or not op.shapes_only or len(op.shape) != 2 or op.shape[0] != 1:
        return False
    inside = op.inputs[0].shape
    return len(inside) > 2 and sum(size > 1 for size in inside) > 1 and math.prod(inside) == op.shape[1]


def _is_tied(ops: list[Op], embedding: Op) -> bool:
    def reads(value: Value) -> bool:
        return value.storage == embedding.inputs[0].storage

    return any(op.name in PRODUCTS and any(map(reads, op.inputs)) for op in ops)
