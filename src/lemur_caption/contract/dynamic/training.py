"""LC4xx: learn eats the loader's batches and the Net gets better at the next token, measured here."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from lemur_caption.contract.dynamic.probe import (
    BATCH,
    EOS,
    PAD,
    SOS,
    Batches,
    Failed,
    Probe,
    Stop,
    make_captions,
    make_images,
    shape_of,
)

EPOCHS = 8
STEPS = 3
# Fall of the next-token loss, as a share of it, that counts as learning. The measurement repeats its random numbers, so
# a Net that does not move gives exactly 0.
FALL = 0.01
# Which token is being taught, from the falls of its loss in nats. Every Net first learns which words there are, which
# helps all three targets alike; then the taught one leads. Over sound random designs no other target ever led by more
# than 0.1; a wrong one leads by more than 0.15, or early by half as much again. LEAD ends the training as decided.
WRONG_BY, WRONG_EARLY, WRONG_RATIO = 0.15, 0.05, 1.5
LEAD = 0.1
Examples = tuple[torch.Tensor, torch.Tensor]


def check_training(probe: Probe) -> None:
    """Raises Stop where learn cannot be used, or the weights are lost."""
    net = probe.net
    images, captions = make_images(BATCH), make_captions(BATCH)
    trainable = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    start = {name: parameter.detach().clone() for name, parameter in trainable.items()}
    reached: dict[str, float] = {}
    hooks = [p.register_post_accumulate_grad_hook(_note(name, reached)) for name, p in trainable.items()]
    before = losses(probe, images, captions)
    steps = 0
    after = before
    for epoch in range(EPOCHS):
        torch.manual_seed(epoch)
        numbers = call_learn(probe, [(images, captions)] * STEPS)
        steps += STEPS
        lost = [name for name, parameter in trainable.items() if not bool(torch.isfinite(parameter).all())]
        if lost:
            probe.add("LC407", line=probe.line_of("learn"), steps=steps, count=len(lost), names=_names(lost))
        if lost or numbers is None:
            raise Stop
        after = losses(probe, images, captions)
        if epoch and _learned(before, after):
            break
    for hook in hooks:
        hook.remove()
    judge_parameters(probe, trainable, start, reached)
    judge_losses(probe, before, after, steps)
    probe.learns = True
    check_last_batches(probe, images, captions)


def _note(name: str, reached: dict[str, float]) -> Any:
    """A hook that keeps the largest gradient that a parameter ever had, by its magnitude."""

    def hook(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            reached[name] = max(reached.get(name, 0.0), float(parameter.grad.abs().max()))

    return hook


def _names(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def call_learn(probe: Probe, batches: list[Examples]) -> tuple[float | None, float] | None:
    """One call of learn: (accuracy, loss), or None after a finding."""
    sizes = {"images": shape_of(batches[0][0]), "captions": shape_of(batches[0][1])}
    line = probe.line_of("learn")
    try:
        with probe.attempt("LC401", line, **sizes):
            returned = probe.net.learn(Batches(batches))
    except Failed:
        return None
    numbers = returned if isinstance(returned, (tuple, list)) else (returned,)
    wanted = (2,) if probe.strict else (1, 2)
    if len(numbers) not in wanted or not all(_is_number(number) for number in numbers):
        probe.add("LC402", line=line, found=_shown(returned))
        return None
    values = [float(number) for number in numbers]
    loss, accuracy = values[-1], values[0] if len(values) == 2 else None
    if not math.isfinite(loss):
        probe.add("LC403", line=line, problem=f"a loss of {loss}")
        return None
    if accuracy is not None and not 0 <= accuracy <= 1:
        probe.add("LC403", line=line, problem=f"an accuracy of {accuracy:.4g}, outside [0, 1]")
        return None
    return accuracy, loss


def _is_number(value: object) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return "None" if value is None else shape_of(value)


def losses(probe: Probe, images: torch.Tensor, captions: torch.Tensor) -> dict[str, float]:
    """Teacher-forced cross-entropy in nats: `next` over all tokens; and over the words that have a word on both sides,
    of that `same` word, the `following` one and the one `after` it.

    Measured in training mode, because a few steps do not settle the running statistics that eval uses; the random
    numbers are always the same, and the buffers are put back, so only the weights can make a difference.
    """
    net = probe.net
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    net.train()
    tokens = captions[:, 0]
    try:
        with probe.attempt("LC301", images=shape_of(images), captions=shape_of(tokens)), torch.no_grad():
            if probe.returns == "loss":
                out = net(images.clone(), tokens.clone())
                return {"next": float(out[0] if isinstance(out, (tuple, list)) else out)}
            logits = probe.teach(images, tokens).float()
    except Failed:
        raise Stop from None
    finally:
        torch.random.set_rng_state(state)
        for name, buffer in net.named_buffers():
            if name in buffers:
                buffer.copy_(buffers[name])
    found = {"next": _entropy(logits, tokens[:, 1:], tokens[:, 1:] != PAD)}
    inner = logits[:, :-1]
    same, following, after = tokens[:, :-2], tokens[:, 1:-1], tokens[:, 2:]
    words = torch.stack([(t != PAD) & (t != SOS) & (t != EOS) for t in (same, following, after)]).all(dim=0)
    for name, target in (("same", same), ("following", following), ("after", after)):
        found[name] = _entropy(inner, target, words)
    return found


def _entropy(logits: torch.Tensor, targets: torch.Tensor, where: torch.Tensor) -> float:
    return F.cross_entropy(logits[where], targets[where]).item()


def _learned(before: dict[str, float], after: dict[str, float]) -> bool:
    if not after["next"] < before["next"] * (1 - FALL):
        return False
    gain = _gains(before, after)
    return not gain or gain["following"] > max(gain["same"], gain["after"]) + LEAD


def _gains(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    names = ("same", "following", "after")
    return {name: before[name] - after[name] for name in names if name in before}


def _wrong_target(before: dict[str, float], after: dict[str, float]) -> str | None:
    """Which other token training teaches, if any."""
    gain = _gains(before, after)
    if not gain:
        return None
    best = max(gain, key=lambda name: gain[name])
    right = max(gain["following"], 0.0)
    early = gain[best] > right * WRONG_RATIO and gain[best] > right + WRONG_EARLY
    return best if best != "following" and (early or gain[best] > right + WRONG_BY) else None


def judge_parameters(
    probe: Probe, trainable: dict[str, Any], start: dict[str, torch.Tensor], reached: dict[str, float]
) -> None:
    line = probe.line_of("learn")
    total = len(trainable)
    # A gradient taken by hand (torch.autograd.grad) passes no hook, but then the parameter moves.
    moved = {name for name, parameter in trainable.items() if not torch.equal(parameter.detach(), start[name])}
    never = [name for name in trainable if name not in reached and name not in moved]
    if never:
        probe.add("LC404", line=line, count=len(never), total=total, names=_names(never))
    # Below this a gradient is what float32 leaves of a zero, as for the bias of a convolution before batch normalization.
    noise = max(reached.values(), default=0.0) * torch.finfo(torch.float32).eps
    still = [name for name, largest in reached.items() if largest > noise and name not in moved]
    if still:
        probe.add("LC405", line=line, count=len(still), total=total, names=_names(still))
    zero = [name for name, largest in reached.items() if not largest or (largest <= noise and name not in moved)]
    if zero:
        probe.add("LC409", line=line, count=len(zero), total=total, names=_names(zero))


def judge_losses(probe: Probe, before: dict[str, float], after: dict[str, float], steps: int) -> None:
    line = probe.line_of("learn")
    wrong = _wrong_target(before, after)
    if wrong is not None:
        gain = before[wrong] - after[wrong]
        learned = {"same": "current", "after": "next but one"}[wrong]
        next_gain = before["following"] - after["following"]
        probe.add("LC410", line=line, learned=learned, gain=gain, next_gain=next_gain)
    elif not after["next"] < before["next"] * (1 - FALL):
        probe.add("LC406", line=line, steps=steps, before=before["next"], after=after["next"])


def check_last_batches(probe: Probe, images: torch.Tensor, captions: torch.Tensor) -> None:
    """Rows of padding alone, then an epoch whose last batches are odd and of one image."""
    gaps = captions.clone()
    gaps[0, 1:] = PAD
    gaps[1, 3:] = PAD
    known = len(probe.findings)
    numbers = call_learn(probe, [(images, gaps)])
    if numbers is None:
        cause = probe.findings.pop(known)
        probe.add("LC408", line=cause.line, problem=cause.message)
        probe.learns = False
        raise Stop
    lost = [name for name, parameter in probe.net.named_parameters() if not bool(torch.isfinite(parameter).all())]
    if lost:
        probe.add("LC408", line=probe.line_of("learn"), problem=f"weights turn NaN: {_names(lost)}")
        raise Stop
    for rule, count in (("LC310", BATCH - 1), ("LC309", 1)):
        known = len(probe.findings)
        if call_learn(probe, [(images[:count], captions[:count])]) is None:
            cause = probe.findings.pop(known)
            probe.add(rule, line=cause.line, size=count, before=BATCH, error=cause.message)
            raise Stop
