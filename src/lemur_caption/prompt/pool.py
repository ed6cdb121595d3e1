"""Where classification Nets for snippets come from: a released nn-dataset on disk, and torchvision."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

from lemur_caption.errors import UsageError

# ResNet is left out: the baselines' own encoder family is no inspiration for changing them.
TORCHVISION_NETS = [
    "alexnet",
    "convnext",
    "densenet",
    "efficientnet",
    "googlenet",
    "inception",
    "maxvit",
    "mnasnet",
    "mobilenetv2",
    "mobilenetv3",
    "regnet",
    "shufflenetv2",
    "squeezenet",
    "swin_transformer",
    "vgg",
    "vision_transformer",
]
# Enough to draw from, few enough to read at once.
MOST_NETS = 400
CLASSIFICATION = "img-classification_"


def torchvision_pool() -> list[tuple[str, str]]:
    """(name, source) of torchvision's classification models, in name order, read without importing them.

    Raises UsageError where torchvision is not installed.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("torchvision is not installed, so it has no model sources to take snippets from")
    folder = Path(spec.submodule_search_locations[0]) / "models"
    paths = [folder / f"{name}.py" for name in TORCHVISION_NETS]
    return [(path.stem, path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def released_pool(path: Path, most: int = MOST_NETS) -> list[tuple[str, str]]:
    """(name, source) of the classification Nets of an nn-dataset release: its wheel, or the folder it was unpacked to.

    A Net is one for classification where the release has statistics of it for that task; a folder without statistics,
    of Nets alone, is taken as it is. Of more than `most`, as many of each family as can be. Raises UsageError
    where there are none.
    """
    try:
        root: Path | zipfile.Path = zipfile.Path(path) if zipfile.is_zipfile(path) else path
        nets, statistics = root / "ab/nn/nn", root / "ab/nn/stat/train"
        folder = nets if nets.is_dir() else root
        found = {file.name.removesuffix(".py"): file for file in folder.iterdir() if file.name.endswith(".py")}
        if statistics.is_dir():
            trained = {entry.name for entry in statistics.iterdir() if entry.name.startswith(CLASSIFICATION)}
            # task_dataset_metric_Net; a Net's own name may hold the separator.
            classifiers = {name.split("_", 3)[3] for name in trained if name.count("_") >= 3}
            found = {name: file for name, file in found.items() if name in classifiers}
        found.pop("__init__", None)
        chosen = [(name, found[name].read_text(encoding="utf-8")) for name in spread(found, most)]
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"the Nets of {path} cannot be read ({error}); name an nn-dataset wheel or its folder"
        ) from error
    if not chosen:
        raise UsageError(
            f"{path} holds no classification Nets: name the wheel of nn-dataset 2.1.2, or the folder it was unpacked to "
            "(later releases keep their Nets in a database)"
        )
    return sorted(chosen)


def spread(names: Iterable[str], most: int) -> list[str]:
    """At most `most` of the names, taken in turn from each family (what stands before the first hyphen).

    LEMUR names thousands of siblings `family-<digest>`: an even draw would see hardly anything else.
    """
    families: dict[str, list[str]] = {}
    for name in sorted(names):
        families.setdefault(name.partition("-")[0], []).append(name)
    turns = zip_longest(*families.values())
    return [name for turn in turns for name in turn if name is not None][:most]
