"""Running a Net once, and recording every operator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules import module as modules
from torch.utils._python_dispatch import TorchDispatchMode

from . import flops
from .recording import SOFTMAXES, Op, Recording, Recurrent, Value

# A Net that runs more than any captioning Net is not worth the memory that a record of it takes.
MOST_OPERATORS = 20_000
_KINDS = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn"}


def record(net: nn.Module, image: torch.Tensor, caption: torch.Tensor) -> Recording:
    """The operators of `net(image, caption)`, in evaluation mode and without gradients. Raises what the Net raises."""
    recorder = _Recorder(image, caption)
    training = net.training
    net.eval()
    hook = modules.register_module_forward_pre_hook(recorder.enter)
    try:
        with torch.no_grad(), _plain_attention(), recorder:
            net(image, caption)
    finally:
        hook.remove()
        net.train(training)
    return recorder.recording


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention as products and a softmax, as it is in training, and not as one fused operator that shows neither."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Recorder(TorchDispatchMode):
    """Follows image and words through memory: what is written to a storage depends on all that the operator reads."""

    def __init__(self, image: torch.Tensor, caption: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not say that it returns nothing
        self.recording = Recording(words=caption.shape[-1] - 1)
        self._image, self._words = _storage(image), _storage(caption)
        self._producer: dict[int, int] = {}
        self._basic: set[Any] = set()
        # A storage that is freed would give its address to the next.
        self._alive: list[torch.UntypedStorage] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function not in self._basic and function._overloadpacket not in flops.FORMULAS:
            # In inference mode what is made of other operators arrives whole.
            with self:
                result = function.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
            self._basic.add(function)
        inputs = tuple(map(self._value, _tensors((args, kwargs))))
        result = function(*args, **kwargs)
        outputs = list(_tensors(result))
        if outputs:
            self._add(function, args, inputs, outputs)
            self.recording.flops += flops.count(function._overloadpacket, args, kwargs, result)
        return result

    def _add(self, function: Any, args: Any, inputs: tuple[Value, ...], outputs: list[torch.Tensor]) -> None:
        ops = self.recording.ops
        if len(ops) >= MOST_OPERATORS:
            raise RuntimeError(f"it runs more than {MOST_OPERATORS:,} operators")
        index, before = len(ops), 1 << len(ops)
        for value in inputs:
            if value.producer >= 0:
                before |= ops[value.producer].before
        name, first = function._schema.name.partition("::")[2], outputs[0]
        groups = args[8] if name == "convolution" else 1
        choices = first.shape[args[1]] if name in SOFTMAXES and first.dim() else 0
        square = choices > 1 and first.dim() > 1 and first.shape[-1] == first.shape[-2] > 1
        causal = square and not bool(first.triu(1).any())
        image, words = (any(getattr(value, of) for value in inputs) for of in ("image", "words"))
        ops.append(Op(index, name, inputs, tuple(first.shape), before, image, words, groups, choices, causal))
        for tensor in outputs:
            self._alive.append(tensor.untyped_storage())
            self._producer[_storage(tensor)] = index

    def _value(self, tensor: torch.Tensor) -> Value:
        storage = _storage(tensor)
        producer = self._producer.get(storage, -1)
        made = self.recording.ops[producer] if producer >= 0 else None
        shape = tuple(tensor.shape)
        distinct = tuple(size if step else 1 for size, step in zip(shape, tensor.stride(), strict=True))
        image = storage == self._image or (made is not None and made.image)
        words = storage == self._words or (made is not None and made.words)
        return Value(producer, storage, shape, distinct, image, words)

    def enter(self, module: nn.Module, inputs: Any) -> None:
        """A module is called: one of torch.nn's recurrent layers that reads words is kept."""
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            kind = next(kind for name, kind in _KINDS.items() if isinstance(module, _class_names(name)))
            if any(self._value(tensor).words for tensor in _tensors(inputs)):
                layers = module.num_layers if isinstance(module, nn.RNNBase) else 1
                self.recording.recurrent[id(module)] = Recurrent(kind, module.hidden_size, layers)


def _class_names(name: str) -> tuple[type[nn.Module], ...]:
    return getattr(nn, name), getattr(nn, f"{name}Cell")


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(nested: Any) -> Iterator[torch.Tensor]:
    """The tensors in arguments or results, in order."""
    if isinstance(nested, torch.Tensor):
        yield nested
    elif isinstance(nested, (list, tuple)):
        for item in nested:
            yield from _tensors(item)
    elif isinstance(nested, dict):
        yield from _tensors(list(nested.values()))
