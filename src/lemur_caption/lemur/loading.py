"""What LEMUR's registered loaders call: a dataset name in, LEMUR's four-tuple out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from . import compat

TASK = "img-captioning"
# What LEMUR asks a trained Net to exceed by a fifth before it calls the result good.
MINIMUM_ACCURACY = 0.001
# A COCO-layout folder to read in place of `<root>/data/<folder>`; set for a trial by `--data`.
DATA_VARIABLE = "LEMUR_CAPTION_DATA"
FOLDERS = {"shapes": "shapes", "coco-caption": "coco"}


def data_folder(dataset: str, data: Path) -> Path:
    """The COCO-layout folder of a dataset: `$LEMUR_CAPTION_DATA`, else its place under LEMUR's `data`."""
    override = os.environ.get(DATA_VARIABLE)
    return Path(override) if override else data / FOLDERS[dataset]


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

    from ..dataset import coco, shapes

    compat.measure_teacher_forced_loss()
    folder = data_folder(dataset, Path(data_dir))
    if dataset == "shapes" and DATA_VARIABLE not in os.environ:
        shapes.render_shapes(folder)
    splits = coco.load(folder, transform_fn(coco.IMAGENET_NORM))
    GLOBAL_CAPTION_VOCAB["word2idx"] = splits.vocabulary.word2idx
    GLOBAL_CAPTION_VOCAB["idx2word"] = splits.vocabulary.idx2word
    return (len(splits.vocabulary),), MINIMUM_ACCURACY, splits.train, splits.val
