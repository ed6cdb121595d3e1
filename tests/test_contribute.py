"""`tune` and `contribute`: a family tuned through LEMUR's entry point, and its way back into a fresh LEMUR."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import make_lemur_venv
from lemur_caption.architecture import Design, default_design, render
from lemur_caption.candidate import Candidate
from lemur_caption.lemur import registry
from lemur_caption.lemur.epoch_files import TamperedError, epoch_records
from lemur_caption.lemur.pull_request import _plain
from lemur_caption.lemur.stored_trials import StoredTrial
from lemur_caption.lemur.tuning import TuneJob, _follow
from lemur_caption.search.records import Records

SOURCE = render(Design(**(default_design("pocket").model_dump() | {"width": 16, "hidden_size": 128, "depth": 1})))
NAME = f"C5C-CaptionLSTM-{registry.code_id(SOURCE)}"
STATISTICS = Path("ab", "nn", "stat", "train", f"img-captioning_shapes_bleu-1_{NAME}")
BAD = """
def supported_hyperparameters():
    return {'lr', 'momentum'}


class Net:
    def __init__(self, in_shape, out_shape, prm, device):
        raise ValueError('shapes [b]do not fit')
"""
ENOUGH = ("--metric", "bleu-1", "--least-trials", "2", "--least-epochs", "2")

SEVERAL = """
import contextlib, io, json, os, sys
from lemur_caption.cli import main

told = []
for arguments in json.loads(sys.argv[1]):
    sys.argv, out, error, code = ["lemur-caption", *arguments], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    told.append([code, out.getvalue(), error.getvalue()])
print(json.dumps(told))
"""


@dataclass
class Told:
    code: int
    out: str
    error: str


Several = Callable[..., list[Told]]


@pytest.fixture(scope="module")
def several(lemur_python: Path) -> Several:
    """Run several commands one after another in one process, in a folder."""

    def call(folder: Path, *commands: tuple[object, ...]) -> list[Told]:
        arguments = json.dumps([[str(word) for word in command] for command in commands])
        environment = os.environ | {"COLUMNS": "200"}
        done = subprocess.run(
            [lemur_python, "-c", SEVERAL, arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return [Told(*told) for told in json.loads(done.stdout)]

    return call


@pytest.fixture(scope="module")
def tuning(several: Several, small_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Told]]:
    """A root with one Net of two trials of two epochs, the first of one call and the second of another, and what these
    calls, one more, and one for a Net that fails have told."""
    root = tmp_path_factory.mktemp("tuned")
    (root / "C5C-CaptionLSTM.py").write_text(SOURCE, encoding="utf-8")
    (root / "Bad.py").write_text(BAD, encoding="utf-8")
    options = ["--epochs", 2, "--metric", "bleu-1", "--batch", 8, 16, "--lr", "0.002", "0.01", "--contract", "off"]
    options += ["--data", small_shapes, "--offline", "--json"]
    told = several(
        root,
        ("tune", "C5C-CaptionLSTM.py", "--trials", 1, *options),
        ("tune", NAME, "--trials", 2, *options),
        ("tune", NAME, "--trials", 2, *options),
        ("tune", "Bad.py", "--trials", 1, *options),
    )
    return root, told


@pytest.fixture(scope="module")
def tuned(tuning: tuple[Path, list[Told]]) -> Path:
    return tuning[0]


@pytest.mark.slow
def test_tune_makes_the_trials_that_are_missing(tuning: tuple[Path, list[Told]]) -> None:
    root, (first, second, third, bad) = tuning
    assert [told.code for told in (first, second, third)] == [0, 0, 0], tuning
    counted = [[json.loads(told.out)[0][key] for key in ("present", "trials")] for told in (first, second, third)]
    assert [(present, len(trials)) for present, trials in counted] == [(0, 1), (1, 1), (2, 0)]
    drawn = [trials[0][0]["prm"] for _, trials in counted[:2]]
    assert drawn[0]["lr"] != drawn[1]["lr"], "the second call drew what the first one had"
    assert all(0.002 <= prm["lr"] <= 0.01 and 0 <= prm["momentum"] <= 1 and prm["batch"] in (8, 16) for prm in drawn)
    losses = [epoch[kind] for _, trials in counted[:2] for epoch in trials[0] for kind in ("train_loss", "test_loss")]
    assert all(0.5 < loss < 10 for loss in losses), losses
    # A Net that fails stores nothing and says why.
    (result,) = json.loads(bad.out)
    assert bad.code == 1 and result["trials"] == [] and "shapes [b]do not fit" in result["detail"], bad
    assert query(root, "SELECT nn, epoch, COUNT(*) FROM stat GROUP BY nn, epoch") == [(NAME, 1, 2), (NAME, 2, 2)]
    assert sorted(path.name for path in root.iterdir()) == ["Bad.py", "C5C-CaptionLSTM.py", "db"]


def query(root: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(root / "db" / "ab.nn.db") as connection:
        return connection.execute(sql, values).fetchall()


@pytest.mark.slow
def test_a_contribution_comes_back_through_lemurs_importer_as_it_was(
    several: Several, tuned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "contribution"
    (told,) = several(tuned, ("contribute", "C5C-CaptionLSTM", "--out", out, *ENOUGH, "--contract", "off", "--json"))
    assert told.code == 0, told
    assert json.loads(told.out)["missing"] == [] and json.loads(told.out)["nets"][0]["trials"] == 2
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        "PULL_REQUEST.md",
        f"ab/nn/nn/{NAME}.py",
        str(STATISTICS / "1.json"),
        str(STATISTICS / "2.json"),
    ]

    python = make_lemur_venv(tmp_path / "venv")
    (package,) = (tmp_path / "venv").glob("lib/*/site-packages/ab")
    shutil.copytree(out / "ab", package, dirs_exist_ok=True)
    for item in registry.items():
        if item.kind in ("loader", "metric", "transform"):  # what the notes say that LEMUR needs
            (package / "nn" / item.kind / f"{item.name}.py").write_text(item.text, encoding="utf-8")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    # Without a database LEMUR calls its own `json_train_to_db` on import, since there are statistics.
    program = (
        "from ab.nn.api import data; print(data(task='img-captioning').to_json(orient='records', double_precision=15))"
    )
    done = subprocess.run([python, "-c", program], cwd=fresh, capture_output=True, text=True)
    assert "Warning" not in done.stderr, done.stderr
    frame = json.loads(done.stdout.splitlines()[-1])
    assert sorted((row["nn"], row["epoch"]) for row in frame) == [(NAME, 1), (NAME, 1), (NAME, 2), (NAME, 2)]
    assert all(row["nn_code"] == SOURCE and row["transform_code"] and row["metric_code"] for row in frame)
    accuracies = {row["id"]: row["accuracy"] for row in frame}
    assert max(accuracies.values()) > 0

    stored = "SELECT id, task, dataset, metric, nn, epoch, accuracy, duration, transform, prm FROM stat ORDER BY id"
    assert query(fresh, stored) == query(tuned, stored)
    assert accuracies == pytest.approx({row[0]: row[6] for row in query(tuned, stored)}, abs=1e-12)
    assert query(fresh, "SELECT * FROM train_stat ORDER BY stat_id") == query(
        tuned, "SELECT * FROM train_stat ORDER BY stat_id"
    )
    labels = "('task', 'dataset', 'metric', 'model')"  # LEMUR's importer takes these of the files for hyperparameters
    prm = f"SELECT DISTINCT uid, name, value FROM prm WHERE name NOT IN {labels} ORDER BY uid, name"
    assert query(fresh, prm) == query(tuned, prm)
    assert query(fresh, "SELECT code, id FROM nn WHERE name = ?", NAME) == [(SOURCE, registry.code_id(SOURCE))]


@pytest.mark.slow
def test_what_is_missing_is_said_with_the_command_that_gets_it(several: Several, tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    checked, refused, labelled = several(
        tuned,
        ("contribute", NAME, "--metric", "bleu-1", "--contract", "off", "--check"),
        ("contribute", NAME, "--metric", "bleu-1", "--contract", "off", "--out", out),
        ("contribute", "C5C", "--metric", "bleu-1", "--contract", "off", "--out", out, "--incomplete"),
    )
    line = f"missing  {NAME}: 0 of 10 Optuna trials of 5 epochs; lemur-caption tune {NAME} --trials 10 --epochs 5 " \
           "--dataset shapes --metric bleu-1"  # fmt: skip
    for told in (checked, refused, labelled):
        assert told.code == 1 and line in told.out.splitlines(), told
    assert "nothing was written" in checked.out and "nothing was written" in refused.out
    assert "INCOMPLETE" in labelled.out
    assert "**INCOMPLETE: " in (out / "PULL_REQUEST.md").read_text(encoding="utf-8")
    assert not list(tuned.glob("contribution-*")) and not list(tmp_path.glob(".out*"))


@pytest.mark.slow
def test_every_rule_of_lemurs_is_checked(several: Several, tuned: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(tuned / "db", root / "db")
    broken = "# Copyright. All rights reserved, GPL licence.\nimport lemur_caption.dataset\n" + SOURCE
    with sqlite3.connect(root / "db" / "ab.nn.db") as connection:
        connection.execute("UPDATE nn SET code = ? WHERE name = ?", (broken, NAME))
        connection.execute("UPDATE nn SET id = ? WHERE name = 'CaptionLSTM'", (registry.code_id(broken),))
        trial = "SELECT uid FROM prm WHERE name = 'lr' AND value = (SELECT MAX(value) FROM prm WHERE name = 'lr')"
        connection.execute(f"UPDATE prm SET value = 1.5 WHERE name = 'momentum' AND uid IN ({trial})")
    budget = ("--metric", "bleu-1", "--least-trials", 3, "--least-epochs", 1, "--check", "--json")
    (told,) = several(root, ("contribute", NAME, *budget))
    assert told.code == 1, told
    found = [(one["net"], one["what"], one["how"]) for one in json.loads(told.out)["missing"]]
    assert {net for net, _, _ in found} == {NAME} and all(how for *_, how in found)
    for words in (
        "1 of 3 Optuna trials of 1 epochs (1 with hyperparameters outside 0 to 1 do not count)",
        f"the hash of its code is {registry.code_id(broken)}",
        "the same code as CaptionLSTM",
        "GPL licence",
        "it imports lemur_caption",
        "breaks the contract (LC",
    ):
        assert sum(words in what for _, what, _ in found) == 1, (words, found)
    assert len(found) == 6


@pytest.mark.slow
def test_whatever_is_wrong_is_one_line_and_writes_nothing(several: Several, tuned: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(tuned / "db", root / "db")
    with sqlite3.connect(root / "db" / "ab.nn.db") as connection:
        for name in ("my_net", f"C9C-Untrained-{'0' * 32}", "../evil"):
            connection.execute("INSERT INTO nn VALUES (?, 'x', ?)", (name, name))
    (root / "full").mkdir()
    (root / "full" / "file").touch()
    (root / "my_net.py").write_text("x = 1\n", encoding="utf-8")
    before = sorted(str(path) for path in root.rglob("*") if "db" not in path.parts)
    tune = ("--metric", "bleu-1", "--contract", "off", "--offline")
    cases: list[tuple[tuple[object, ...], int, tuple[str, ...]]] = [
        (("contribute", "C7C-Nonsense"), 2, ("C7C-Nonsense", "C5C-CaptionLSTM")),
        (("contribute", "C9C-Untrained", *ENOUGH), 2, ("C9C-Untrained", "lemur-caption tune C9C-Untrained-0")),
        (("contribute", "CaptionLSTM"), 2, ("CaptionLSTM", "comes with lemur-caption")),
        (("contribute", "my_net"), 2, ("my_net", "`_`")),
        (("contribute", "../evil", "--out", "x"), 2, ("../evil", "hyphens")),
        (("contribute", NAME, "--metric", "cider-d"), 2, ("cider-d", "only on shapes with bleu-1", "--metric")),
        (("contribute", NAME, "--dataset", "cifar-10"), 2, ("cifar-10", "coco-caption")),
        (("contribute", NAME, *ENOUGH, "--out", "full"), 2, ("full", "not an empty folder", "--out")),
        (("contribute", NAME, *ENOUGH, "--out", "my_net.py"), 2, ("my_net.py", "--out")),
        (("contribute", NAME, *ENOUGH, "--contract", "off", "--out", "/proc/x"), 1, ("/proc/x", "cannot be written")),
        (("tune", "Nonsense", *tune), 2, ("Nonsense", "CaptionLSTM")),
        (("tune", "my_net", *tune), 2, ("my_net", "`_`")),
        (("tune", NAME, "--batch", 8, 12, *tune), 2, ("8 to 12", "powers of two")),
        (("tune", NAME, "--lr", "0.1", "0.01", *tune), 2, ("learning rate", "in order")),
        (("tune", NAME, "--lr", "0.1", "2", *tune), 2, ("up to 1", "2.0")),
        (("tune", NAME, *tune, "--metric", "bleu-9"), 2, ("bleu-9",)),
        (("tune", NAME, *tune, "--transform", "norm_64,nope"), 2, ("nope",)),
        (("tune", NAME, *tune, "--data", "full"), 2, ("full",)),
    ]
    results = several(root, *(arguments for arguments, _, _ in cases))
    for (arguments, code, words), told in zip(cases, results, strict=True):
        message = told.error.strip()
        assert told.code == code and message.startswith("error: ") and len(message.splitlines()) == 1, (arguments, told)
        for word in words:
            assert word in message, f"{word!r} is not in {message!r} of {arguments}"
    assert sorted(str(path) for path in root.rglob("*") if "db" not in path.parts) == before
    (elsewhere,) = several(tmp_path, ("contribute", NAME))
    assert elsewhere.code == 2 and "no LEMUR database" in elsewhere.error and not (tmp_path / "db").exists()


class Ended:
    """A child that has come to its end."""

    ended = True


@pytest.mark.parametrize("forge", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_a_net_that_forges_epoch_files_is_found_out(tmp_path: Path, forge: Callable[[Path], object]) -> None:
    job = TuneJob("X", SOURCE, "shapes", "bleu-1", epochs=1)
    folder = tmp_path / "ab" / "nn" / "stat" / "train" / job.configuration
    folder.mkdir(parents=True)
    forge(folder / "1.json")
    with pytest.raises(TamperedError, match="epoch 1 cannot be read"):
        _follow(job, tmp_path, Ended(), lambda epochs: pytest.fail("nothing to keep"), lambda: False)  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_a_search_recorded_is_in_the_summary(tuned: Path, several: Several, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(tuned / "db", root / "db")
    prompt = "draw me a Net\n````\n<script>alert(1)</script>\n"
    with Records.open(root) as records:
        run = records.start_run({"llm": "a-model"})
        net = Candidate(NAME, "C5C-CaptionLSTM", SOURCE, model="a-[model]<b>", strategy="design", prompt=prompt)
        records.save(run, 0, net, "checked")
    (told,) = several(root, ("contribute", NAME, *ENOUGH, "--contract", "off", "--out", "out"))
    assert told.code == 0, told
    text = (root / "out" / "PULL_REQUEST.md").read_text(encoding="utf-8")
    assert f"`{NAME}`: model a-\\[model\\]\\<b\\>, strategy design" in text
    assert f"`````text\n{prompt}\n`````" in text, "the fence is longer than the prompt's own"
    assert "| `CaptionLSTM` (baseline) | 0 | not measured here |" in text and "nn-dataset" in text


def test_markdown_finds_nothing_to_interpret() -> None:
    assert _plain("a|b\n*c* <i>") == r"a\|b \*c\* \<i\>"


def test_only_whole_trials_of_optunas_count() -> None:
    record = {"accuracy": 0.5, "train_stat": {}}
    given = StoredTrial({"lr": 0.1}, {1: record, 2: record})
    drawn = StoredTrial({"lr": 0.1, "epoch_max": 2}, {1: record, 2: record})
    gap = StoredTrial({"lr": 0.1, "epoch_max": 2}, {2: record})
    assert [trial.counts(2) for trial in (given, drawn, gap)] == [False, True, False]


@pytest.mark.parametrize(
    "text", ["{}", "[]", "[3]", '[{"accuracy": 1}]', '[{"train_stat": {}, "accuracy": -1, "uid": "x"}]']
)
def test_an_epoch_file_of_another_form_is_tampered_with(tmp_path: Path, text: str) -> None:
    path = tmp_path / "1.json"
    assert epoch_records(path) is None
    path.write_text('[{"accuracy', encoding="utf-8")
    assert epoch_records(path) is None, "half-written"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TamperedError, match="epoch 1"):
        epoch_records(path)
