"""Counting the floating-point operations of a recorded run.

The FLOPs of a Net are those of one teacher-forced forward: one image, one caption as long as the longest of the validation
split. A multiply-add counts two, as torch's own flop counter has it, whose formulas these are for convolutions and matrix
products; recurrent layers that run as one operator have theirs here. Left out are additions of biases and all that works
element by element (activations, normalization, softmax, pooling, the gates of a recurrent cell), embeddings, and the
search for the next word. Attention counts as the whole square of pairs, also where half of it is masked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

_aten = torch.ops.aten


def _matrix_vector(matrix: torch.Tensor, *_: Any, **options: Any) -> int:
    return 2 * matrix.numel()


def _added_matrix_vector(bias: Any, matrix: torch.Tensor, *_: Any, **options: Any) -> int:
    return 2 * matrix.numel()


def _mkldnn_lstm(sequence: torch.Tensor, inner: torch.Tensor, recurrent: torch.Tensor, *_: Any, **options: Any) -> int:
    """One layer in one direction of an LSTM on a CPU: its two matrices times every position of [T, B, H]."""
    return 2 * sequence[..., 0].numel() * (inner.numel() + recurrent.numel())


def _cudnn_recurrent(sequence: torch.Tensor, weights: list[torch.Tensor], *_: Any, **options: Any) -> int:
    """All layers of an LSTM, GRU or RNN on a GPU: each matrix times every position of [T, B, H]; biases are vectors."""
    return 2 * sequence[..., 0].numel() * sum(weight.numel() for weight in weights if weight.dim() == 2)


FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    _aten.mv: _matrix_vector,
    _aten.addmv: _added_matrix_vector,
    _aten.mkldnn_rnn_layer: _mkldnn_lstm,
    _aten._cudnn_rnn: _cudnn_recurrent,
}


def count(operator: Any, args: Any, kwargs: dict[str, Any], result: Any) -> int:
    """FLOPs of one call of an operator of torch.ops; 0 for those that are left out."""
    formula = FORMULAS.get(operator)
    return 0 if formula is None else int(formula(*args, **kwargs, out_val=result))
