"""Speed of the metrics: `python benchmarks/metrics.py [--lemur-bleu bleu.py] [--images 5000] [--seed 0]`.

BLEU-1 to BLEU-4, CIDEr-D and ROUGE-L of 5,000 predictions with 5 references each, as the six LEMUR metric files over
batches of tensors and as the library over lists of ids, against pycocoevalcap's scorers on the same tokens and LEMUR's
metric `bleu` on the same tensors. LEMUR's file is `ab/nn/metric/bleu.py` in the wheel of nn-dataset 2.1.2; a .whl is
taken too. Prints seconds, ratios and the differences between the values. All sides run in one process, on one thread,
one after the other, and are measured in CPU seconds, which other programs disturb little; the fastest of `--repeat`
runs counts.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from lemur_caption.metrics import files, score
from lemur_caption.metrics.lemur_metric import METRICS

PAD, SOS, EOS = 0, 1, 2
VOCABULARY = 10_000
LENGTH = 24

Captions = list[list[int]]


def captions(images: int, seed: int) -> tuple[Captions, list[Captions]]:
    """Hypotheses and five references an image, 8 to 16 words long, word frequencies after Zipf as in COCO.

    The captions of an image are one sentence with a third of its words exchanged, so that n-grams of all orders match.
    """
    rng = random.Random(seed)
    words = range(4, VOCABULARY)
    weights = [1 / (rank + 1) for rank in range(len(words))]

    def sentence(length: int) -> list[int]:
        return rng.choices(words, weights, k=length)

    hypotheses, references = [], []
    for _ in range(images):
        scene = sentence(16)

        def caption(scene: list[int] = scene) -> list[int]:
            length = rng.randint(8, 16)
            others = sentence(length)
            return [word if rng.random() < 2 / 3 else other for word, other in zip(scene, others, strict=False)]

        hypotheses.append(caption())
        references.append([caption() for _ in range(5)])
    return hypotheses, references


def padded(row: list[int]) -> list[int]:
    row = [SOS, *row, EOS]
    return row + [PAD] * (LENGTH - len(row))


def load(path: Path) -> Any:
    """A LEMUR metric file as a module; of a wheel, its `bleu`."""
    if path.suffix == ".whl":
        with tempfile.TemporaryDirectory() as folder:
            return load(Path(zipfile.ZipFile(path).extract("ab/nn/metric/bleu.py", folder)))
    module = ModuleType(path.stem)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


def timed(call: Callable[[], dict[str, float]], repeat: int) -> tuple[float, dict[str, float]]:
    """The fastest of `repeat` runs in CPU seconds, and what the last gave."""
    seconds = []
    for _ in range(repeat):
        started = time.process_time()
        values = call()
        seconds.append(time.process_time() - started)
    return min(seconds), values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lemur-bleu", type=Path, help="LEMUR's bleu.py, or the wheel of nn-dataset 2.1.2")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    hypotheses, references = captions(options.images, options.seed)
    outputs = torch.tensor([padded(row) for row in hypotheses]).split(options.batch)
    labels = torch.tensor([[padded(row) for row in rows] for rows in references]).split(options.batch)
    gts = {image: [" ".join(map(str, row)) for row in rows] for image, rows in enumerate(references)}
    res = {image: [" ".join(map(str, row))] for image, row in enumerate(hypotheses)}

    def through(metrics: dict[str, Any]) -> dict[str, float]:
        # New tensor objects, as a Net's outputs and a loader's batches are in each epoch.
        for pair in zip(map(torch.clone, outputs), map(torch.clone, labels), strict=True):
            for metric in metrics.values():
                metric(*pair)
        return {name: metric.result() for name, metric in metrics.items()}

    with tempfile.TemporaryDirectory() as folder:
        files.write(Path(folder))
        modules = {name: load(Path(folder) / f"{name}.py") for name in METRICS}

    def ours() -> dict[str, float]:
        return through({name: module.create_metric((VOCABULARY,)) for name, module in modules.items()})

    def coco() -> dict[str, float]:
        bleu, _ = Bleu(4).compute_score(gts, res, verbose=0)
        values = {f"bleu-{n}": value for n, value in enumerate(bleu, 1)}
        return values | {"cider-d": Cider().compute_score(gts, res)[0], "rouge-l": Rouge().compute_score(gts, res)[0]}

    files_seconds, values = timed(ours, options.repeat)
    library_seconds, _ = timed(lambda: score(hypotheses, references, METRICS), options.repeat)
    coco_seconds, expected = timed(coco, options.repeat)
    print(f"{options.images} predictions, 5 references each; CPU seconds, fastest of {options.repeat}")
    print(f"  six LEMUR metric files   {files_seconds:7.3f}")
    print(f"  lemur_caption.metrics    {library_seconds:7.3f}")
    print(f"  pycocoevalcap            {coco_seconds:7.3f}")
    for name in METRICS:
        print(f"  {name:<8} {values[name]:.9f}   difference {abs(values[name] - expected[name]):.1e}")
    print(f"pycocoevalcap / files    {coco_seconds / files_seconds:6.1f}   (at least 5 wanted)")
    print(f"pycocoevalcap / library  {coco_seconds / library_seconds:6.1f}   (at least 5 wanted)")
    if options.lemur_bleu:
        bleu = load(options.lemur_bleu)
        bleu_seconds, _ = timed(lambda: through({"bleu": bleu.create_metric((VOCABULARY,))}), options.repeat)
        print(f"  LEMUR's `bleu` alone     {bleu_seconds:7.3f}")
        print(f"LEMUR's bleu / files     {bleu_seconds / files_seconds:6.1f}   (at least 10 wanted)")


if __name__ == "__main__":
    main()
