"""LC3xx: what forward gives with captions and without, for batches of several sizes."""

from __future__ import annotations

from typing import Any

import torch

from lemur_caption.contract.dynamic.build import check_other_sizes
from lemur_caption.contract.dynamic.force import ForceTokens, TooLong
from lemur_caption.contract.dynamic.probe import (
    BATCH,
    EOS,
    MAX_TOKENS,
    WORDS,
    Failed,
    Probe,
    Stop,
    make_captions,
    make_images,
    shape_of,
)

# A beam search may take the images one by one, and the hypotheses of a beam of this width as well.
BEAM = 5


def check_shapes(probe: Probe) -> None:
    """Raises Stop where teacher forcing gives no usable logits, for all later checks need them."""
    probe.net.eval()
    sound = check_teacher_forcing(probe)
    try:
        probe.writes = check_inference(probe)
    except Failed:
        probe.writes = False
    if not sound:
        raise Stop
    check_other_sizes(probe)
    if probe.returns != "loss":
        check_five_captions(probe)
    check_batch_sizes(probe)


def check_teacher_forcing(probe: Probe) -> bool:
    images, captions = make_images(BATCH), make_captions(BATCH)[:, 0]
    sizes = {"images": shape_of(images), "captions": shape_of(captions)}
    line = probe.line_of("forward")
    try:
        with probe.attempt("LC301", line, **sizes), torch.no_grad():
            out = probe.net(images, captions)
    except Failed:
        return False
    pair = isinstance(out, (tuple, list)) and len(out) == 2
    if not pair:
        if probe.strict:
            probe.add("LC303", line=line, found=shape_of(out))
        probe.returns = "logits"
    logits = out[0] if isinstance(out, (tuple, list)) and out else out
    if not probe.strict and isinstance(logits, torch.Tensor) and logits.dim() == 0:
        probe.returns = "loss"
        if not bool(torch.isfinite(logits)):
            probe.add("LC312", line=line, count=1, total=1)
        return True
    wanted = (BATCH, captions.shape[1] - 1, WORDS)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != wanted or not logits.is_floating_point():
        found = shape_of(logits)
        if isinstance(logits, torch.Tensor) and not logits.is_floating_point():
            found += f" of {logits.dtype}"
        probe.add("LC302", line=line, captions=sizes["captions"], found=found, wanted=list(wanted))
        return False
    bad = int((~torch.isfinite(logits)).sum())
    if bad:
        probe.add("LC312", line=line, count=bad, total=logits.numel())
        return False
    return True


def check_five_captions(probe: Probe) -> None:
    """[B, 5, T] must mean its first caption."""
    images, captions = make_images(BATCH), make_captions(BATCH)
    sizes = shape_of(captions)
    try:
        with probe.attempt("LC304", captions=sizes, problem="raises {error}"), torch.no_grad():
            out = probe.net(images.clone(), captions.clone())
            first = probe.teach(images, captions[:, 0])
            again = probe.teach(images, captions[:, 0])
    except Failed:
        return
    logits = out[0] if isinstance(out, (tuple, list)) and out else out
    wanted = (BATCH, captions.shape[2] - 1, WORDS)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != wanted:
        problem = f"gives logits {shape_of(logits)}; the contract asks for {list(wanted)}"
    # The same sizes and the same numbers: only a use of the other captions can make a difference of this size.
    # A Net that does not even repeat itself is told so by LC507.
    elif probe.strict and torch.equal(first, again) and not torch.allclose(logits, first, rtol=1e-3, atol=1e-4):
        problem = "gives other logits than forward(images, captions[:, 0])"
    else:
        return
    probe.add("LC304", line=probe.line_of("forward"), captions=sizes, problem=problem)


def check_inference(probe: Probe) -> bool:
    images = make_images(BATCH)
    line = probe.line_of("forward")
    # The Net is kept from saying <EOS>, so the length is the longest that it ever writes.
    force = ForceTokens(WORDS, lambda step: [5 + step % 7] * BATCH, share=1 / (BATCH * BEAM))
    try:
        with probe.attempt("LC305", images=shape_of(images)), torch.no_grad():
            try:
                with force:
                    out = probe.net(images)
            except TooLong:
                problem = f"computes more than {force.most} times the scores of a word"
                probe.add("LC308", line=line, problem=problem, limit=MAX_TOKENS)
                return False
    except Failed:
        return False
    if not well_formed(probe, out, BATCH):
        found = shape_of(out)
        if isinstance(out, torch.Tensor):
            found += f" of {out.dtype}"
        probe.add("LC306", line=line, images=shape_of(images), found=found, words=WORDS)
        return False
    if out.shape[1] > MAX_TOKENS:
        probe.add("LC308", line=line, problem=f"returns {out.shape[1]} tokens a row", limit=MAX_TOKENS)
        return False
    with probe.attempt("LC305", images=shape_of(images)), torch.no_grad():
        free = probe.net(images)
    if not well_formed(probe, free, BATCH):
        probe.add("LC306", line=line, images=shape_of(images), found=shape_of(free), words=WORDS)
        return False
    for ids in (out, free):
        if ids.dim() == 2 and ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < WORDS:
            low, high = int(ids.min()), int(ids.max())
            probe.add("LC307", line=line, low=low, high=high, words=WORDS, last=WORDS - 1)
            return False
    return True


def well_formed(probe: Probe, out: Any, batch: int) -> bool:
    """Token ids [B, L] or scores [B, L, V]."""
    if not isinstance(out, torch.Tensor) or out.dim() not in (2, 3) or out.shape[0] != batch or not out.shape[1]:
        return False
    if out.dim() == 3:
        return out.shape[2] == WORDS and out.is_floating_point() and bool(torch.isfinite(out).all())
    if not probe.strict:
        return not out.is_complex()
    return out.dtype in (torch.int64, torch.int32)


def check_batch_sizes(probe: Probe) -> None:
    images, captions = make_images(BATCH), make_captions(BATCH)
    line = probe.line_of("forward")

    def run(count: int) -> str | None:
        """What is wrong with the answer for the first `count` images, or None."""
        if probe.returns != "loss":
            logits = probe.teach(images[:count], captions[:count, 0])
            wanted = (count, captions.shape[2] - 1, WORDS)
            if tuple(logits.shape) != wanted:
                return f"logits {shape_of(logits)} instead of {list(wanted)}"
        if probe.writes:
            with ForceTokens(WORDS, lambda step: [EOS if step else 5] * count):  # a short caption will do
                out = probe.net(images[:count].clone())
            if not well_formed(probe, out, count):
                return f"inference returns {shape_of(out)}"
        return None

    for rule, count in (("LC310", BATCH - 1), ("LC309", 1)):
        values = {"size": count, "before": BATCH}
        try:
            with probe.attempt(rule, **values), torch.no_grad():
                problem = run(count)
        except Failed:
            continue
        if problem:
            probe.add(rule, line=line, error=problem, **values)
