"""What LEMUR's registered loaders call: a dataset name in, LEMUR's four-tuple out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DatasetError, UsageError
from . import compat

TASK = "img-captioning"
# What LEMUR asks a trained Net to exceed by a fifth before it calls the result good.
MINIMUM_ACCURACY = 0.001
# A COCO-layout folder to read in place of `<root>/data/<folder>`; set for a trial by `--data`.
DATA_VARIABLE = "LEMUR_CAPTION_DATA"
# How training batches are made: `five` captions an image or `one` random one; `shuffled`, or `bucketed` by caption length.
CAPTIONS_VARIABLE = "LEMUR_CAPTION_CAPTIONS"
BATCHES_VARIABLE = "LEMUR_CAPTION_BATCHES"
FOLDERS = {"shapes": "shapes", "coco-caption": "coco"}


def data_folder(dataset: str, data: Path) -> Path:
    """The COCO-layout folder of a dataset: `$LEMUR_CAPTION_DATA`, else its place under LEMUR's `data`."""
    override = os.environ.get(DATA_VARIABLE)
    return Path(override) if override else data / FOLDERS[dataset]


def dataset_folder(
    dataset: str, lemur_data: Path, data: Path | None = None, *, render: Callable[[int], None] | None = None
) -> Path:
    """The COCO-layout folder that a run reads: `data` where that is given, else the dataset's own under LEMUR's `data`.

    With `render`, which is called with the number of images done, `shapes` is rendered where it is absent.
    Raises UsageError for an unknown dataset, and DatasetError for a folder that is absent, empty or cannot be rendered.
    """
    from ..dataset import coco, shapes

    if dataset not in FOLDERS:
        raise UsageError(f"unknown dataset `{dataset}`; lemur-caption has {', '.join(FOLDERS)}")
    folder = data or data_folder(dataset, lemur_data)
    if render and dataset == "shapes" and data is None and DATA_VARIABLE not in os.environ:
        shapes.render_shapes(folder, progress=render)
    coco.check_folder(folder)
    return folder.resolve()


def image_transform(name: str) -> Callable[[Any], Any]:
    """LEMUR's transform `name` as `load` gets it, from PIL image to `[C, H, W]`; its file must be there (`Store.materialize`)."""
    from ..dataset import coco

    module = importlib.import_module(f"ab.nn.transform.{name}")
    transform: Callable[[Any], Any] = module.transform(coco.IMAGENET_NORM)
    return transform


def load(dataset: str, transform_fn: Callable[[Any], Any], task: str) -> tuple[tuple[int], float, Any, Any]:
    """Load `dataset` as LEMUR's runner wants it: `((vocabulary size,), minimum accuracy, train, validation)`.

    `transform_fn` is LEMUR's: given the normalization constants of 0-1 images it returns a PIL -> [C, H, W]
    transform. Fills LEMUR's GLOBAL_CAPTION_VOCAB for Nets that read it. Raises DatasetError for another
    task than img-captioning and for an unusable folder.
    """
    if task != TASK:
        raise DatasetError(f"the dataset `{dataset}` is for the task {TASK}, not `{task}`")
    from ab.nn.loader.coco_.Caption import GLOBAL_CAPTION_VOCAB
    from ab.nn.util.Const import data_dir

    from ..dataset import coco

    compat.measure_teacher_forced_loss()
    folder = dataset_folder(dataset, Path(data_dir), render=lambda done: None)
    one_caption = _choice(CAPTIONS_VARIABLE, ("five", "one")) == "one"
    splits = coco.load(folder, transform_fn(coco.IMAGENET_NORM), one_caption=one_caption)
    if _choice(BATCHES_VARIABLE, ("shuffled", "bucketed")) == "bucketed":
        splits.train.bucketed = True
        compat.bucket_batches()
    GLOBAL_CAPTION_VOCAB["word2idx"] = splits.vocabulary.word2idx
    GLOBAL_CAPTION_VOCAB["idx2word"] = splits.vocabulary.idx2word
    return (len(splits.vocabulary),), MINIMUM_ACCURACY, splits.train, splits.val


def _choice(variable: str, choices: tuple[str, ...]) -> str:
    """The value of an environment variable, by default the first choice. Raises UsageError for any other."""
    value = os.environ.get(variable) or choices[0]
    if value not in choices:
        raise UsageError(f"{variable} is '{value}'; set it to {' or '.join(choices)}")
    return value
