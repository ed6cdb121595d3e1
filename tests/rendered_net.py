"""Rendered Nets for tests, and batches for them."""

import torch

from lemur_caption.architecture import Design, default_design, render

PAD, SOS, EOS = 0, 1, 2
VOCABULARY = 31
CPU = torch.device("cpu")

DECODERS = [
    {"decoder": "lstm", "memory": "grid", "attention": "dot"},
    {"decoder": "gru", "memory": "grid", "attention": "dot", "layers": 2},
    {"decoder": "lstm", "memory": "grid", "attention": "none"},
    {"decoder": "lstm", "memory": "grid", "attention": "additive"},
    {"decoder": "gru", "memory": "grid", "attention": "additive"},
    {"decoder": "gru", "memory": "token", "attention": "none", "layers": 2},
    {"decoder": "transformer", "memory": "grid", "attention": "none"},
    {"decoder": "transformer", "memory": "token", "attention": "none", "layers": 2},
]


def with_fields(size="pocket", **fields):
    return Design(**(default_design(size).model_dump() | fields))


def load(source, channels=3, side=32, vocabulary=VOCABULARY, prm=None):
    """The Net of a file's source, set up for training."""
    prm = prm or {"lr": 0.001, "momentum": 0.9}
    namespace = {"__name__": "net"}
    exec(compile(source, "net", "exec"), namespace)
    net = namespace["Net"]((4, channels, side, side), (vocabulary,), prm, CPU)
    net.train_setup(prm)
    return net


def build(design, channels=3, side=32, vocabulary=VOCABULARY):
    prm = {"lr": float(design.lr), "momentum": float(design.momentum)}
    return load(render(design), channels, side, vocabulary, prm)


def batch(generator, size=2, channels=3, side=32, length=7, vocabulary=VOCABULARY):
    """Images and five captions each; the last caption of every image is all padding, as where one is missing."""
    images = torch.randn(size, channels, side, side, generator=generator)
    captions = torch.randint(4, vocabulary, (size, 5, length), generator=generator)
    captions[..., 0] = SOS
    captions[..., -2] = EOS
    captions[..., -1] = PAD
    captions[:, 4] = PAD
    return images, captions
