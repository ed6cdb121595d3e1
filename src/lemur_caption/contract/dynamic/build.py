"""LC2xx: the Net builds for any size, inside its budget, and sets up its training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lemur_caption.contract.dynamic.probe import (
    CHANNELS,
    SIZE,
    WORDS,
    Failed,
    Probe,
    Stop,
    load,
    make_captions,
    make_images,
)

# Channels, image side, words. The first is small enough to build for real; the rest is built without memory.
OTHER_SIZES = ((1, 32, 30), (3, 224, 997), (3, 299, 12_000))


def check_build(probe: Probe) -> None:
    """Raises Stop where nothing could be built."""
    try:
        with probe.attempt("LC201"):
            probe.module = load(probe.source)
        with probe.attempt("LC202", in_shape=("B", CHANNELS, SIZE, SIZE), words=WORDS):
            probe.net = probe.build(CHANNELS, SIZE, WORDS)
            trainable = [parameter for parameter in probe.net.parameters() if parameter.requires_grad]
    except Failed:
        raise Stop from None
    if not trainable:
        probe.add("LC204", line=probe.line_of("__init__"))
        raise Stop
    check_budget(probe, probe.net, WORDS)
    if probe.strict:
        build_other_sizes(probe)
    if not check_train_setup(probe):
        raise Stop


def check_budget(probe: Probe, net: nn.Module, words: int) -> bool:
    count = sum(parameter.numel() for parameter in net.parameters())
    if count > probe.parameter_budget:
        probe.add("LC203", line=probe.line_of("__init__"), count=count, words=words, budget=probe.parameter_budget)
        return False
    return True


def build_other_sizes(probe: Probe) -> None:
    """Build for other sizes: on the meta device, where tensors have shapes and no data, or for real where that fails.

    The meta device checks the same shapes as real arithmetic and costs no memory, but some sound code needs data, so
    that a failure there proves nothing.
    """
    for channels, size, words in OTHER_SIZES:
        device = "meta" if size > SIZE else "cpu"
        net = _build_on_meta(probe, channels, size, words) if device == "meta" else None
        if net is None:
            device = "cpu"
            try:
                with probe.attempt("LC202", in_shape=("B", channels, size, size), words=words):
                    net = probe.build(channels, size, words).eval()
            except Failed:
                return  # the other sizes would most often say the same again
        if not check_budget(probe, net, words):
            return
        probe.others.append((net, channels, size, words, device))


def _build_on_meta(probe: Probe, channels: int, size: int, words: int) -> Any:
    try:
        with torch.device("meta"):
            net = probe.build(channels, size, words, device="meta").eval()
        whole = all(parameter.is_meta for parameter in net.parameters())
    except Exception:  # noqa: BLE001 - whatever it is, the real build that follows finds and reports it
        return None
    return net if whole else None


def check_other_sizes(probe: Probe) -> None:
    """One teacher-forced batch for each other size."""
    for net, channels, size, words, device in probe.others:
        if device == "meta" and _fits(net, channels, size, words):
            continue
        try:
            with probe.attempt("LC202", in_shape=("B", channels, size, size), words=words):
                real = net if device == "cpu" else probe.build(channels, size, words).eval()
            with probe.attempt("LC311", in_shape=("B", channels, size, size), words=words):
                _look(real, channels, size, words, "cpu")
        except Failed:
            return
    probe.others.clear()


def _fits(net: Any, channels: int, size: int, words: int) -> bool:
    try:
        _look(net, channels, size, words, "meta")
    except Exception:  # noqa: BLE001 - as above, the real run that follows finds and reports it
        return False
    return True


def _look(net: Any, channels: int, size: int, words: int, device: str) -> None:
    captions = make_captions(2, length=6, words=words)[:, 0]
    images = make_images(2, channels, size)
    with torch.no_grad(), torch.device(device):
        out = net(images.to(device), captions.to(device))
    logits = out[0] if isinstance(out, (tuple, list)) else out
    wanted = (2, captions.shape[1] - 1, words)
    if isinstance(logits, torch.Tensor) and logits.dim() and tuple(logits.shape) != wanted:
        raise ValueError(f"logits {list(logits.shape)} instead of {list(wanted)}")


def check_train_setup(probe: Probe) -> bool:
    """Criterion and optimizer. False where train_setup itself fails, so that learn cannot be tried."""
    net = probe.net
    try:
        with probe.attempt("LC205"):
            net.train_setup(probe.hyperparameters())
    except Failed:
        return False
    check_criterion(probe)
    check_optimizer(probe)
    return True


def check_criterion(probe: Probe) -> None:
    """Measured: the loss must not move when the logits at padded targets do."""
    line = probe.line_of("train_setup")
    criterion = getattr(probe.net, "criterion", None)
    if not callable(criterion):
        if probe.strict:
            probe.add("LC206", line=line, problem=f"is {type(criterion).__name__}, not a loss")
        return
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, WORDS, generator=generator)
    targets = torch.tensor([5, 6, 7, 2, 0, 0])
    moved = logits.clone()
    moved[4:] = torch.randn(2, WORDS, generator=generator) * 3
    try:
        with probe.attempt("LC206", line, problem="fails on logits [N, V] and targets [N]: {error}"):
            first, second = (torch.as_tensor(criterion(scores, targets)).mean().item() for scores in (logits, moved))
    except Failed:
        return
    # Exact: an ignored row is multiplied by nothing, so both sums have the same terms.
    if first != second:
        problem = f"counts padding: it gives {first:.4f} and {second:.4f} when only logits at padded targets differ"
        probe.add("LC206", line=line, problem=problem)


def check_optimizer(probe: Probe) -> None:
    line = probe.line_of("train_setup")
    optimizer = getattr(probe.net, "optimizer", None)
    if not isinstance(optimizer, torch.optim.Optimizer):
        if probe.strict:
            probe.add("LC207", line=line, problem=f"is {type(optimizer).__name__}, not a torch.optim.Optimizer")
        return
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    left_out = [name for name, p in probe.net.named_parameters() if p.requires_grad and id(p) not in held]
    if left_out:
        shown = ", ".join(left_out[:3]) + (", …" if len(left_out) > 3 else "")
        total = sum(parameter.requires_grad for parameter in probe.net.parameters())
        probe.add("LC207", line=line, problem=f"leaves out {len(left_out)} of {total} trainable parameters: {shown}")
