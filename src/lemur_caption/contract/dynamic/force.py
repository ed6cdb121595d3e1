"""Make any Net say what a check wants: token scores are raised where the vocabulary's axis is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

PRODUCTS: frozenset[Callable[..., Any]] = frozenset(
    {
        *(F.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm, torch.einsum),
        *(torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.__rmatmul__, torch.Tensor.mm, torch.Tensor.bmm),
    }
)
# Far above any real score, far below where float32 loses the differences between the others.
BOOST = 1e4


class TooLong(Exception):
    """The Net goes on and on."""


class ForceTokens(TorchFunctionMode):
    """In this context the n-th product whose last axis has `words` entries favours `script(n)`, a token a row.

    Works for an output layer of any kind (module, function, tied embedding). Raises TooLong from within the Net
    after `most` products, so that an endless generation ends at once. A product for some of the rows alone, as when
    a beam search takes the images one by one, counts for `share` of one.
    """

    def __init__(self, words: int, script: Callable[[int], list[int]], most: int = 300, share: float = 1.0):
        super().__init__()
        self.words, self.script, self.most, self.share = words, script, most, share
        self.calls = 0
        self.spent = 0.0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in PRODUCTS or not isinstance(out, torch.Tensor) or not out.dim() or out.shape[-1] != self.words:
            return out
        if self.spent >= self.most:
            raise TooLong
        tokens = torch.tensor(self.script(self.calls))
        self.calls += 1
        partial = out.dim() < 2 or out.shape[0] % len(tokens) != 0
        self.spent += self.share if partial else 1.0
        if partial:
            return out
        boost = torch.zeros(len(tokens), self.words).scatter_(1, tokens[:, None], BOOST).to(out.dtype)
        boost = boost.repeat_interleave(out.shape[0] // len(tokens), dim=0)
        return out + boost.view(out.shape[0], *(1,) * (out.dim() - 2), self.words)
