"""Where trials run, without any: which GPUs there are, and what is held back."""

from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from lemur_caption.lemur.trial import TrialJob
from lemur_caption.search.executors import LocalExecutor, Task
from lemur_caption.search.executors.local import gpus


def test_gpus_are_counted_as_cuda_numbers_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia5", "nvidia10", "nvidiactl", "nvidia-uvm", "nvidia-caps"):
        (tmp_path / name).touch()
    assert gpus(tmp_path) == ["0", "1"]


@pytest.mark.parametrize(
    ("named", "found"), [("2,GPU-8f", ["2", "GPU-8f"]), ("", []), ("-1", [])], ids=["two", "none", "off"]
)
def test_the_gpus_that_the_environment_names_are_those_to_use(tmp_path, monkeypatch, named, found):
    (tmp_path / "nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert gpus(tmp_path) == found


def test_nothing_begins_once_an_executor_is_held(tmp_path: Path):
    executor = LocalExecutor(workers=1)
    executor.hold()
    job = TrialJob("class Net: ...", "shapes", "bleu-4", "norm_64", epochs=1)
    trial = executor.submit(Task("Net", job, str(tmp_path)), lambda epoch: False)
    with pytest.raises(CancelledError):
        trial.result(timeout=60)
    executor.close()
