"""The options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[
    Path | None,
    typer.Option(help="LEMUR's root folder, which holds data/, db/ and out/. Default: the working directory."),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Never ask the hub: a root without a database gets LEMUR's empty schema at once."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs on stdout.")]
Dataset = Annotated[
    str, typer.Option(help="`shapes` (rendered on first use) or `coco-caption` (COCO 2017 under data/coco).")
]
Metric = Annotated[str, typer.Option(help="LEMUR metric, or several with commas; the first decides.")]
Transform = Annotated[str, typer.Option(help="LEMUR image transform; the number is the image size in pixels.")]
Epochs = Annotated[int, typer.Option(min=1, help="Training epochs.")]
Batch = Annotated[int, typer.Option(min=1, help="Images a batch.")]
Captions = Annotated[
    str, typer.Option(help="Train on all `five` captions of an image, or on `one` drawn anew in each epoch.")
]
Batches = Annotated[
    str, typer.Option(help="Training batches: `shuffled`, or `bucketed` by the length of their captions.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all that is random.")]
Data = Annotated[
    Path | None, typer.Option(help="A folder in COCO layout to read in place of the dataset's own under data/.")
]
Llm = Annotated[
    str,
    typer.Option(
        help="Language model: `smollm2` (embedded), `hf:MODEL` (transformers), `openai:MODEL@URL` (a server), "
        "`replay:FOLDER` (recorded answers), or `random` (no model: designs drawn uniformly)."
    ),
]
Baseline = Annotated[str, typer.Option(help="The Net that the language model starts from.")]
Snippets = Annotated[
    int, typer.Option(min=0, max=16, help="How many classification-Net snippets the prompt shows (k in C<k>C).")
]
Nets = Annotated[
    Path | None,
    typer.Option(
        help="Take snippets from this nn-dataset release, a wheel or the folder it was unpacked to. Default: the "
        "classification Nets of LEMUR's store, else torchvision's sources."
    ),
]
Strategy = Annotated[
    str,
    typer.Option(
        help="What the model writes: `design`, a choice of architecture that we render; `blocks`, encoder and "
        "decoder; `delta`, a diff to the baseline; `code`, a whole Net."
    ),
]
Size = Annotated[
    str, typer.Option(help="Scale of the Nets: `pocket` (a laptop) or `full` (hidden sizes of the paper).")
]
Temperature = Annotated[float, typer.Option(min=0.0, help="Sampling temperature.")]
Repair = Annotated[
    int, typer.Option(min=0, help="How often a Net written as code that breaks the contract goes back to the model.")
]
AnswerTokens = Annotated[
    int | None, typer.Option(min=1, help="Most tokens of an answer. Default: as many as the strategy needs.")
]

TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over", help="Go on with a run that a process on another host, which is gone, has not released."
    ),
]
