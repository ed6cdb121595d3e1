"""Speed of decoding: `python benchmarks/decoding.py [--images 32] [--vocabulary 10000] [--repeat 3] [--sizes pocket,full]`.

Three ways to caption one batch from the same memory with the same untrained Net, which never says <EOS> and so writes
captions of full length: greedy search with the Net's cache, the slow loop that runs the whole prefix again for every
word, and beam search of three. Prints CPU seconds of the fastest of `--repeat` runs and the ratios: the slow loop over
cached greedy, and beam 3 over greedy. The encoder is left out. One thread; the three sides of a
Net take turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from lemur_caption.architecture import Design, default_design, render
from lemur_caption.architecture.space import choices
from lemur_caption.lemur import registry

SOS, EOS = 1, 2
DECODERS = {
    "LSTM, grid": {"decoder": "lstm", "memory": "grid", "attention": "none"},
    "LSTM, additive": {"decoder": "lstm", "memory": "grid", "attention": "additive"},
    "LSTM, dot": {"decoder": "lstm", "memory": "grid", "attention": "dot"},
    "Transformer, grid": {"decoder": "transformer", "memory": "grid", "attention": "none"},
    "Transformer, token": {"decoder": "transformer", "memory": "token", "attention": "none"},
}


class Given(torch.nn.Module):
    """In the encoder's place: memory that is there already."""

    def __init__(self, memory: torch.Tensor) -> None:
        super().__init__()
        self.memory = memory

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.memory


def sources(sizes: list[str]) -> dict[str, str]:
    """The Nets to measure: each decoder at each size, as deep and wide as the size allows, and the baselines."""
    found = {}
    for size in sizes:
        largest = {name: choices(size)[name][-1] for name in ("hidden_size", "layers", "heads")}
        for name, fields in DECODERS.items():
            found[f"{size}: {name}"] = render(Design(**default_design(size).model_dump() | largest | fields))
    return found | {item.name: item.text for item in registry.items() if item.kind == "nn"}


def prepare(source: str, images: int, vocabulary: int) -> tuple[Any, torch.Tensor, int]:
    """The Net with its memory given, images, and the length of its captions."""
    namespace: dict[str, Any] = {"__name__": "net"}
    exec(compile(source, "net", "exec"), namespace)
    torch.manual_seed(0)
    prm = {"lr": 1e-3, "momentum": 0.9}
    net = namespace["Net"]((1, 3, 64, 64), (vocabulary,), prm, torch.device("cpu")).eval()
    batch = torch.randn(images, 3, 64, 64)
    with torch.no_grad():
        net.decoder.output.bias[EOS] = -1e4
        net.encoder = Given(net.encoder(batch))
    return net, batch, namespace["MAX_LENGTH"]


@torch.no_grad()
def slow_greedy(net: Any, images: torch.Tensor, length: int) -> torch.Tensor:
    """The whole prefix again for every word."""
    ids = torch.full((len(images), 1), SOS)
    for _ in range(length):
        # forward leaves out the last token, which it would have nothing to hold the logits of against.
        logits, _ = net(images, torch.nn.functional.pad(ids, (0, 1)))
        ids = torch.cat([ids, logits[:, -1:].argmax(dim=-1)], dim=1)
    return ids[:, 1:]


def fastest(sides: list[Callable[[], object]], repeat: int) -> list[float]:
    """CPU seconds of each side's fastest run; the sides take turns."""
    best = [float("inf")] * len(sides)
    for _ in range(repeat + 1):  # the first round warms up, and cannot win by much
        for number, side in enumerate(sides):
            started = time.process_time()
            side()
            best[number] = min(best[number], time.process_time() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--vocabulary", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sizes", default="pocket,full")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'CPU seconds a batch':<28}{'greedy':>9}{'slow loop':>11}{'beam 3':>9}{'slow/greedy':>13}{'beam/greedy':>13}"
    )
    for name, source in sources(options.sizes.split(",")).items():
        net, images, length = prepare(source, options.images, options.vocabulary)
        same = net(images).equal(slow_greedy(net, images, length))
        greedy, slow, beam = fastest(
            [
                lambda net=net, images=images: net(images),
                lambda net=net, images=images, length=length: slow_greedy(net, images, length),
                lambda net=net, images=images: net.beam_search(images, 3),
            ],
            options.repeat,
        )
        note = "" if same else "  ids differ"
        print(f"{name:<28}{greedy:>9.3f}{slow:>11.3f}{beam:>9.3f}{slow / greedy:>13.1f}{beam / greedy:>13.1f}{note}")


if __name__ == "__main__":
    main()
