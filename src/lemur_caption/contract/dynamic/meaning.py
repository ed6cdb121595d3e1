"""LC5xx: causal, sees the image, ignores padding, samples independent and repeatable in eval, stops at <EOS>.

Each check runs the Net twice and compares. Differences are in units of the logits' own standard deviation. Where both
runs have the same tensor sizes the same kernels add the same terms in the same order, so a sound Net gives equal bits;
SAME leaves room for kernels that are not deterministic. Other sizes may choose other kernels: ROUNDED is far above
float32's rounding through a deep net (about 1e-5 measured) and far below what any leak shows after training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from lemur_caption.contract.dynamic.force import ForceTokens
from lemur_caption.contract.dynamic.probe import (
    BATCH,
    EOS,
    LENGTH,
    PAD,
    SEED,
    WORDS,
    Failed,
    Probe,
    make_captions,
    make_images,
    shape_of,
)
from lemur_caption.contract.dynamic.training import call_learn

SAME = 1e-5
ROUNDED = 1e-3
EXTRA = 6
# A loss that counts padding moves by percents; one that does not, by rounding (the absolute part is for losses near 0).
LOSS_TOLERANCE, LOSS_ROUNDING = 2e-3, 1e-3


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """Largest difference in units of the standard deviation of `first`'s values."""
    scale = first.double().std().clamp_min(1e-12)
    return float((first.double() - second.double()).abs().max() / scale)


def check_sees_image(probe: Probe, rule: str) -> None:
    if probe.returns == "loss":
        return
    captions = make_captions(BATCH)[:, 0]
    one, other = make_images(BATCH), make_images(BATCH, seed=SEED + 1).flip(0)
    first, second = _teach(probe, one, captions), _teach(probe, other, captions)
    changed = difference(first, second)
    if not changed > SAME:
        probe.add(rule, line=probe.line_of("forward"), difference=changed)


def check_meaning(probe: Probe) -> None:
    """The checks that follow training. Each is independent of the others."""
    probe.net.eval()
    checks: list[Callable[[], None]] = []
    try:
        base = None if probe.returns == "loss" else _teach(probe, *_examples())
        if check_repeatable(probe, base):
            if base is not None:
                checks += [partial(check, probe, base) for check in (check_words, check_padding, check_batch_mates)]
            if probe.writes and probe.strict:
                checks.append(partial(check_writing, probe))
    except Failed:
        checks.clear()
    if probe.learns:
        checks.append(partial(check_padding_in_loss, probe))
    for check in checks:
        try:
            check()
        except Failed:
            continue


def _examples(seed: int = SEED) -> tuple[torch.Tensor, torch.Tensor]:
    return make_images(BATCH, seed=seed), make_captions(BATCH, seed=seed)[:, 0]


def _teach(probe: Probe, images: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    with probe.attempt("LC301", images=shape_of(images), captions=shape_of(captions)), torch.no_grad():
        return probe.teach(images, captions).detach().clone()
    raise AssertionError("attempt re-raises")


def _write(probe: Probe, images: torch.Tensor) -> torch.Tensor:
    with probe.attempt("LC305", images=shape_of(images)), torch.no_grad():
        out: torch.Tensor = probe.net(images.clone())
        return out.detach().clone()
    raise AssertionError("attempt re-raises")


def check_words(probe: Probe, base: torch.Tensor) -> None:
    """Later words change no earlier logits, and earlier words change later ones."""
    images, captions = _examples()
    line = probe.line_of("forward")
    for changed in (LENGTH // 2, 1):
        other = captions.clone()
        other[:, changed:] = (captions[:, changed:] + 20) % (WORDS - 20) + 4
        logits = _teach(probe, images, other)
        apart = (logits - base)[:, :changed].abs().amax(dim=(0, 2))
        found = difference(base[:, :changed], logits[:, :changed])
        if found > SAME:
            probe.add("LC501", line=line, changed=changed, position=int(apart.argmax()), difference=found)
    # `logits` is now of captions that differ from the first word on.
    if not difference(base[:, 2:], logits[:, 2:]) > SAME:
        probe.add("LC509", line=line)


def check_padding(probe: Probe, base: torch.Tensor) -> None:
    images, captions = _examples()
    longer = nn.functional.pad(captions, (0, EXTRA), value=PAD)
    padded = _teach(probe, images, longer)[:, : base.shape[1]]
    spoken = captions[:, 1:] != PAD
    found = difference(base[spoken], padded[spoken])
    if found > ROUNDED:
        probe.add("LC504", line=probe.line_of("forward"), extra=EXTRA, difference=found)


def check_batch_mates(probe: Probe, base: torch.Tensor) -> None:
    images, captions = _examples()
    others, words = _examples(SEED + 1)
    others[0], words[0] = images[0], captions[0]
    found = difference(base[0], _teach(probe, others, words)[0])
    if found > SAME:
        probe.add("LC506", line=probe.line_of("forward"), what="the logits", difference=found)


def check_repeatable(probe: Probe, base: torch.Tensor | None) -> bool:
    """Whether it is, so that other comparisons mean something."""
    images, captions = _examples()
    line = probe.line_of("forward")
    if base is not None:
        torch.manual_seed(2)
        found = difference(base, _teach(probe, images, captions))
        if found > SAME:
            probe.add("LC507", line=line, what="logits", difference=found)
            return False
    if not probe.writes:
        return True
    torch.manual_seed(1)
    one = _write(probe, images)
    torch.manual_seed(2)
    two = _write(probe, images)
    if one.shape != two.shape or not torch.allclose(one.double(), two.double(), rtol=1e-4, atol=1e-4):
        unequal = sum(_unequal(_spoken(a), _spoken(b)) for a, b in zip(one, two, strict=False))
        probe.add("LC507", line=line, what="captions", difference=float(unequal))
        return False
    return True


def _spoken(row: torch.Tensor) -> list[int]:
    """The ids of one row up to <EOS>; scores give their arg max."""
    ids: list[int] = (row.argmax(dim=-1) if row.dim() == 2 else row).tolist()
    return ids[: ids.index(EOS)] if EOS in ids else ids


def _unequal(first: list[int], second: list[int]) -> int:
    return sum(a != b for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))


def check_writing(probe: Probe) -> None:
    """What one row writes must not change with the other images and what they are made to say; and it ends at <EOS>."""
    images, others = make_images(BATCH), make_images(BATCH, seed=SEED + 1)
    others[0] = images[0]
    line = probe.line_of("forward")

    def write(batch: torch.Tensor, mates: int, first_end: int, last_end: int) -> torch.Tensor:
        def say(step: int) -> list[int]:
            first = EOS if step == first_end else 5 + step % 7
            other = EOS if step >= last_end else mates + step % 5
            return [first, *[other] * (BATCH - 1)]

        with ForceTokens(WORDS, say):
            return _write(probe, batch)

    one, two = write(images, 20, 8, 99), write(others, 30, 8, 99)
    first, second = ([_spoken(row) for row in out] for out in (one, two))
    wrong = _unequal(first[0], second[0])
    # Where the first row says what it was made to say, so must the others; else their words come from elsewhere.
    if first[0][:2] == [5, 6]:
        wrong += sum(a == b for a, b in zip(first[1:], second[1:], strict=True))
    if wrong:
        probe.add("LC506", line=line, what="the caption", difference=float(wrong))

    out = write(images, 20, 2, 5)
    if out.dim() == 3:  # scores cannot be padded, but the writing can end
        if out.shape[1] >= one.shape[1] and bool((out.argmax(dim=-1) == EOS).any()):
            probe.add("LC508", line=line, row=1, end=5, found="scores for every later position")
        return
    for row, tokens in enumerate(out.tolist()):
        if EOS not in tokens:
            continue
        end = tokens.index(EOS)
        rest = [token for token in tokens[end + 1 :] if token not in (PAD, EOS)]
        if rest:
            probe.add("LC508", line=line, row=row, end=end, found=f"ids {rest[:5]}")
            return


def check_padding_in_loss(probe: Probe) -> None:
    """The loss that learn returns, from the same weights, for the same captions with more padding.

    Dropout is switched off for it. Where the loss still varies from call to call nothing can be said.
    """
    net = probe.net
    for module in net.modules():
        for name in ("p", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    images, captions = make_images(BATCH), make_captions(BATCH)
    state = {name: value.clone() for name, value in net.state_dict().items()}

    def loss(tokens: torch.Tensor, seed: int = 0) -> float | None:
        net.load_state_dict(state)
        torch.manual_seed(seed)
        numbers = call_learn(probe, [(images, tokens)])
        return None if numbers is None else numbers[1]

    before = loss(captions)
    after = loss(nn.functional.pad(captions, (0, EXTRA), value=PAD))
    if before is None or after is None or _near(before, after):
        return
    again = loss(captions, seed=1)
    if again is not None and _near(before, again):
        line = probe.line_of("learn")
        probe.add("LC505", line=line, extra=EXTRA, before=before, after=after)


def _near(first: float, second: float) -> bool:
    return abs(first - second) <= LOSS_TOLERANCE * abs(first) + LOSS_ROUNDING
