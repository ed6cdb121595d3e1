"""NNGPT's folder of one answer, `B<i>`: the file names of `AlterCaptionNN`, and what `ab.gpt.NNEval` reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..candidate import Candidate
from ..errors import UsageError

NET = "new_nn.py"
HYPERPARAMETERS = "hp.txt"
ROW = "dataframe.df"
RESPONSE = "full_output.txt"
PROMPT = "prompt_used.txt"
BASELINE = "original_caption.py"
ADDONS = "addons"
WRONG = "repair_error.txt"
# Ours: everything that is known of the candidate.
TRAIL = "candidate.json"
# What a training run may be told; LEMUR's record of an epoch also has what it measured.
TRAINING = ("lr", "momentum", "batch", "transform")


def net_folder(epochs: Path, epoch: int, number: int) -> Path:
    return epochs / f"A{epoch}" / "synth_nn" / f"B{number}"


def clear(folder: Path) -> None:
    """Delete an epoch folder with all that it holds. Raises UsageError where that cannot be done."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise UsageError(
            f"the folder {folder} cannot be emptied ({error.strerror or error}); do it yourself"
        ) from error


def write(folder: Path, candidate: Candidate, row: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Write a candidate's folder: `new_nn.py` only if nothing speaks against the Net.

    `row` is LEMUR's result of the baseline, which NNEval takes task, dataset, metric and hyperparameters from; `sources`
    the code of the Nets that snippets came from, by their names. Raises UsageError when the folder cannot be written.
    """
    import pandas

    texts = {
        RESPONSE: candidate.response,
        PROMPT: candidate.prompt,
        BASELINE: row["nn_code"],
        TRAIL: json.dumps(candidate.to_dict(), indent=2, ensure_ascii=False) + "\n",
        HYPERPARAMETERS: json.dumps({name: row["prm"][name] for name in TRAINING if name in row["prm"]}) + "\n",
    }
    texts |= {f"{ADDONS}/addon_{number}.py": sources[name] for number, name in enumerate(candidate.snippets, 1)}
    if candidate.outcome is None:
        texts[NET] = candidate.source
    else:
        texts[WRONG] = f"{candidate.outcome.value}: {candidate.detail}\n"
    try:
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        pandas.Series(dict(row)).to_pickle(folder / ROW)
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be written ({error.strerror}); choose another root") from error
