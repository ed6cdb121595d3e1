"""LEMUR's own runner trains Nets in child processes; its store keeps what it measured, whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from conftest import Run, assert_one_line
from lemur_caption.lemur import registry

pytestmark = pytest.mark.slow
BASELINE = next(item.text for item in registry.items() if item.name == "CaptionLSTM")
SMALL = ("--contract", "off", "--batch", "16", "--transform", "norm_64", "--offline")


def query(root: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(root / "db" / "ab.nn.db") as connection:
        return connection.execute(sql).fetchall()


def left_behind(folder: Path) -> list[object]:
    """Processes that still work below `folder`, and scratch folders that are still there."""
    processes = [process for process in psutil.process_iter(["cwd"]) if str(folder) in (process.info["cwd"] or "")]
    return [*processes, *folder.glob("lemur-caption-trial-*")]


def test_every_epoch_is_stored_and_lemurs_entry_point_adds_its_trial(
    run: Run, lemur_python: Path, tmp_path: Path, small_shapes: Path
) -> None:
    net = tmp_path / "C5C-Test.py"
    net.write_text(BASELINE + "\n# another Net by its hash\n", encoding="utf-8")
    finished = run("train", net, "--epochs", 2, "--data", small_shapes, "--json", *SMALL)
    assert finished.returncode == 0, finished.stderr
    (result,) = json.loads(finished.stdout)
    name = result["name"]
    assert name == f"C5C-Test-{registry.code_id(net.read_text(encoding='utf-8'))}"
    assert result["outcome"] == "trained" and len(result["epochs"]) == 2 and result["parameters"] > 10_000
    assert len(result["samples"]) == 3 and all(sample["reference"] for sample in result["samples"])
    assert result["flops"] > 10_000_000 and result["detail"] == ""
    assert (result["parts"]["encoder"], result["parts"]["decoder"]) == ("residual", "lstm")

    program = """
from ab.nn.api import data
frame = data(task="img-captioning")
columns = ["dataset", "metric", "nn", "nn_code", "epoch", "accuracy", "prm", "transform_code", "metric_code"]
print(frame[columns].to_json(orient="records"))
"""
    frame = subprocess.run([lemur_python, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    records = json.loads(frame.stdout.splitlines()[-1])
    assert [(r["dataset"], r["metric"], r["nn"], r["epoch"]) for r in records] == [
        ("shapes", "bleu-4", name, 1),
        ("shapes", "bleu-4", name, 2),
    ]
    for record, epoch in zip(records, result["epochs"], strict=True):
        assert record["nn_code"] == net.read_text(encoding="utf-8")
        assert record["accuracy"] == pytest.approx(epoch["accuracy"])
        assert record["prm"]["lr"] == 1e-3 and record["prm"]["batch"] == 16
        assert "def transform" in record["transform_code"] and "create_metric" in record["metric_code"]
    losses = query(tmp_path, "SELECT train_loss, test_loss FROM train_stat")
    # Untrained, the loss is about ln(vocabulary) = 4.4; 0.0 is what LEMUR stores when it fails to measure.
    assert len(losses) == 2 and all(1.0 < test < 8.0 for _, test in losses), losses
    assert query(tmp_path, "SELECT uid, name, COUNT(*) FROM prm GROUP BY 1, 2 HAVING COUNT(*) > 1") == []

    command = [lemur_python, "-m", "ab.nn.train", "-c", f"img-captioning_shapes_bleu-4_{name}", "-e", "1"]
    command += ["-p", json.dumps({"lr": 0.001, "momentum": 0.9, "batch": 16, "transform": "norm_64"})]
    environment = os.environ | {"LEMUR_CAPTION_DATA": str(small_shapes)}
    trained = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert trained.returncode == 0, trained.stderr[-2000:]
    assert query(tmp_path, "SELECT epoch, COUNT(*) FROM stat GROUP BY epoch") == [(1, 2), (2, 1)], trained.stdout[
        -3000:
    ]
    assert all(test > 1.0 for (test,) in query(tmp_path, "SELECT test_loss FROM train_stat")), "0.0 again"


LEARN = re.search(r"^    def learn\(self, train_data\).*\n", BASELINE, re.M).group()  # type: ignore[union-attr]


def failing(statement: str) -> str:
    """A Net without torch, which pylint reads fast, that does `statement` when it is built."""
    return f"class Net:\n    def __init__(self, in_shape, out_shape, prm, device):\n        {statement}\n"


@pytest.mark.parametrize(
    ("source", "outcome", "words"),
    [
        (BASELINE.replace(LEARN, LEARN + "        return 0.5, float('nan')\n"), "diverged", "not finite"),
        (failing("raise ValueError('shapes do not fit')"), "runtime_error", "shapes do not fit"),
        (failing("import os; os._exit(3)"), "runtime_error", "exit 3"),
        (failing("raise MemoryError('too much')"), "out_of_memory", "too much"),
        (failing("import time; time.sleep(600)"), "timeout", "0 of 1 epochs"),
        ("import nothing_of_that_name\n", "runtime_error", "nothing_of_that_name"),
    ],
    ids=["nan", "raises", "exits", "memory", "sleeps", "import"],
)
def test_a_net_that_fails_is_an_outcome_and_the_store_stays(
    run: Run, tmp_path: Path, small_shapes: Path, source: str, outcome: str, words: str
) -> None:
    (tmp_path / "Bad.py").write_text(source, encoding="utf-8")
    options = ["--epochs", 1, "--data", small_shapes, "--json", *SMALL]
    if outcome == "timeout":
        options += ["--timeout", 0.25]
    finished = run("train", "Bad.py", *options, env={"TMPDIR": str(tmp_path)})
    assert finished.returncode == 1, finished.stderr
    (result,) = json.loads(finished.stdout)
    assert result["outcome"] == outcome and words in result["detail"], result
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    assert left_behind(tmp_path) == []


def test_ctrl_c_in_the_middle_keeps_finished_epochs_and_leaves_nothing_running(
    lemur_python: Path, tmp_path: Path, small_shapes: Path
) -> None:
    command = [lemur_python, "-m", "lemur_caption", "train", "CaptionLSTM", "--epochs", "500"]
    command += ["--data", str(small_shapes), *SMALL]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has its background jobs ignore SIGINT, and so would every process below these tests.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (tmp_path / "db" / "ab.nn.db").exists() and query(tmp_path, "SELECT COUNT(*) FROM stat") != [(0,)]:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "interrupted" in message and "Traceback" not in message, message
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    assert query(tmp_path, "SELECT COUNT(*) > 0 FROM stat") == [(1,)]
    assert left_behind(tmp_path) == []


def test_a_killed_parent_leaves_no_process_and_its_folder_goes_with_the_next_trial(
    lemur_python: Path, run: Run, tmp_path: Path, small_shapes: Path
) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    arguments = ["train", "CaptionLSTM", "--data", str(small_shapes), *SMALL, "--epochs"]
    command = [str(lemur_python), "-m", "lemur_caption", *arguments, "500"]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | environment)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(tmp_path.glob("lemur-caption-trial-*/out")):
        time.sleep(0.2)
    process.kill()
    process.wait()
    while time.monotonic() < deadline and any(not isinstance(left, Path) for left in left_behind(tmp_path)):
        time.sleep(0.2)
    assert [type(left) for left in left_behind(tmp_path)] == [type(tmp_path)], "the folder alone is left"
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    assert run(*arguments, "1", env=environment).returncode == 0
    assert left_behind(tmp_path) == []


def test_a_full_disk_is_one_line_and_the_store_opens(run: Run, tmp_path: Path, small_shapes: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", small], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        assert run("register", "--root", small).returncode == 0
        filler = os.open(small / "filler", os.O_CREAT | os.O_WRONLY)
        with pytest.raises(OSError, match="No space"):
            while True:
                os.write(filler, b"0" * 4096)
        os.close(filler)
        finished = run("train", "CaptionLSTM", "--root", small, "--epochs", 1, "--data", small_shapes, *SMALL)
        assert_one_line(finished, 1, "space")
        (small / "filler").unlink()
        assert query(small, "PRAGMA integrity_check") == [("ok",)]
        assert query(small, "SELECT name FROM nn ORDER BY 1") == [("CaptionLSTM",), ("CaptionTransformer",)]
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


def test_real_photographs_train_for_one_epoch(run: Run, tmp_path: Path, coco_mini: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "coco").symlink_to(coco_mini, target_is_directory=True)
    finished = run("train", "CaptionTransformer", "--dataset", "coco-caption", "--epochs", 1, "--json", *SMALL)
    assert finished.returncode == 0, finished.stderr
    (result,) = json.loads(finished.stdout)
    assert result["outcome"] == "trained" and result["epochs"][0]["test_loss"] > 1.0


def test_one_caption_an_image_and_batches_by_length(run: Run, lemur_python: Path, small_shapes: Path) -> None:
    def losses(*options: str) -> tuple[float, float]:
        given = ("--epochs", 1, "--data", small_shapes, "--contract", "off", "--json", *SMALL, *options)
        finished = run("train", "CaptionLSTM", *given, python=lemur_python)
        assert finished.returncode == 0, finished.stderr
        (result,) = json.loads(finished.stdout)
        return result["epochs"][0]["train_loss"], result["epochs"][0]["test_loss"]

    usual, one, bucketed = losses(), losses("--captions", "one"), losses("--batches", "bucketed")
    # Each trains otherwise than the default, and all learn something: an untrained Net's loss is log 71 = 4.26.
    assert len({usual, one, bucketed}) == 3
    assert all(test_loss < 4.2 for _, test_loss in (usual, one, bucketed))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--captions", "two"], ["captions is 'two'", "five"]),
        (["--batches", "sorted"], ["batches is 'sorted'", "bucketed"]),
        (("--dataset", "nonsense"), ("nonsense", "coco-caption")),
        (("--metric", "nonsense"), ("nonsense", "bleu-4")),
        (("--transform", "nonsense"), ("nonsense", "norm_64")),
        (("--dataset", "coco-caption"), ("data/coco", "COCO")),
        (("--data", "absent"), ("absent",)),
    ],
)
def test_unknown_names_and_missing_data_are_one_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_one_line(run("train", "CaptionLSTM", *SMALL, *arguments), 2, *words)
    assert query(tmp_path, "SELECT COUNT(*) FROM stat") == [(0,)]


def test_an_unknown_net_is_one_line(run: Run) -> None:
    assert_one_line(run("train", "Nonsense", *SMALL), 2, "Nonsense", "CaptionLSTM")
    assert_one_line(run("train", "nonsense.py", *SMALL), 2, "nonsense.py")


def test_damaged_data_are_one_line(run: Run, tmp_path: Path, small_shapes: Path) -> None:
    import shutil

    captions = Path("annotations/captions_train2017.json")
    for case, words in {"json": "captions_train2017.json", "image": ".jpg", "uncaptioned": "caption"}.items():
        folder = tmp_path / case
        shutil.copytree(small_shapes, folder)
        if case == "json":
            (folder / captions).write_text("{not json", encoding="utf-8")
        elif case == "image":
            image = sorted((folder / "train2017").iterdir())[0]
            image.write_bytes(image.read_bytes()[:300])
        else:
            content = json.loads((folder / captions).read_text(encoding="utf-8"))
            content["annotations"] = []
            (folder / captions).write_text(json.dumps(content), encoding="utf-8")
        assert_one_line(run("train", "CaptionLSTM", "--data", folder, *SMALL), 2, words)
