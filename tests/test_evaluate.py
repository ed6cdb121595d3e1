"""`evaluate`: a trained Net captions the validation split in the sandbox; scores and COCO's result format come out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pycocotools.coco import COCO

from conftest import Run
from lemur_caption.errors import UsageError
from lemur_caption.lemur import evaluation, registry, weights
from lemur_caption.lemur.trial import WEIGHTS, TrialJob

pytestmark = pytest.mark.slow
BASELINE = next(item.text for item in registry.items() if item.name == "CaptionLSTM")

# Says what it is told to, in as few lines as LEMUR takes.
PLAIN = """
import torch


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def train_setup(self, prm):
        pass

    def forward(self, images):
        {body}
"""


@pytest.fixture(scope="module")
def trained(lemur_python: Path, small_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LEMUR root in which CaptionLSTM was trained for an epoch, with its weights."""
    root = tmp_path_factory.mktemp("trained")
    command = [lemur_python, "-m", "lemur_caption", "train", "CaptionLSTM", "--epochs", "1", "--keep-weights"]
    command += ["--metric", "bleu-1", "--batch", "8", "--contract", "off", "--offline", "--data", small_shapes]
    finished = subprocess.run([*map(str, command), "--json"], cwd=root, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    (result,) = json.loads(finished.stdout)
    assert Path(result["weights"]).is_relative_to(root)
    (root / "accuracy").write_text(str(result["epochs"][0]["accuracy"]), encoding="utf-8")
    return root


def test_kept_weights_score_what_training_measured_and_pycocotools_loads_the_captions(
    run: Run, trained: Path, small_shapes: Path
) -> None:
    found = {}
    for beam in (1, 3):
        options = ["--metrics", "bleu-1,cider-d", "--captions", f"{beam}.json", "--beam", beam, "--json"]
        finished = run("evaluate", "CaptionLSTM", *options, "--data", small_shapes, cwd=trained)
        assert finished.returncode == 0, finished.stderr
        found[beam] = json.loads(finished.stdout)
        assert found[beam]["images"] == 8 and list(found[beam]["metrics"]) == ["bleu-1", "cider-d"]
        truth = COCO(small_shapes / "annotations" / "captions_val2017.json")
        results = truth.loadRes(str(trained / f"{beam}.json"))
        assert sorted(results.getImgIds()) == sorted(truth.getImgIds())
        assert any(annotation["caption"] for annotation in results.anns.values())
    measured = float((trained / "accuracy").read_text(encoding="utf-8"))
    assert measured > 0 and found[1]["metrics"]["bleu-1"] == pytest.approx(measured, abs=1e-9)
    assert (trained / "1.json").read_text() != (trained / "3.json").read_text(), "beam search says something else"


def test_without_weights_the_net_is_trained_again_as_in_its_best_trial(
    run: Run, trained: Path, tmp_path: Path, small_shapes: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(trained, root, ignore=shutil.ignore_patterns("weights"))
    finished = run("evaluate", "CaptionLSTM", "--metrics", "bleu-1", "--data", small_shapes, "--json", cwd=root)
    assert finished.returncode == 0, finished.stderr
    assert "training it first, 1 epochs of batch 8, lr 0.001, momentum 0.9, norm_64" in finished.stderr
    measured = float((trained / "accuracy").read_text(encoding="utf-8"))
    assert json.loads(finished.stdout)["metrics"]["bleu-1"] == pytest.approx(measured, abs=1e-9), "the same seed"
    assert weights.weights_path(root, "shapes", "CaptionLSTM").exists()


def put(root: Path, data: Path, name: str, source: str, state: dict[str, torch.Tensor]) -> str:
    """A Net file in `root` with weights that need no training; returns its name in LEMUR."""
    (root / f"{name}.py").write_text(source, encoding="utf-8")
    scratch = root / "scratch"
    scratch.mkdir(exist_ok=True)
    torch.save(state, scratch / WEIGHTS)
    full_name = f"{name}-{registry.code_id(source)}"
    weights.keep(root, full_name, TrialJob(source, "shapes", "bleu-4", "norm_64"), data, scratch)
    return full_name


MANY = """
import contextlib, io, json, sys
from lemur_caption.cli import main

told = []
for arguments in json.loads(sys.argv[1]):
    sys.argv, error, code = ["lemur-caption", *arguments], io.StringIO(), 0
    with contextlib.redirect_stderr(error):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    told.append([code, error.getvalue()])
print(json.dumps(told))
"""


def test_whatever_is_wrong_is_one_line_and_leaves_no_file(
    lemur_python: Path, tmp_path: Path, small_shapes: Path
) -> None:
    empty, other = tmp_path / "empty", tmp_path / "other"
    for folder, split in ((empty, "val"), (other, "train")):
        shutil.copytree(small_shapes, folder, ignore=shutil.ignore_patterns(".*"))
        captions = folder / "annotations" / f"captions_{split}2017.json"
        content = json.loads(captions.read_text(encoding="utf-8"))
        if folder == empty:
            content |= {"images": [], "annotations": []}
        captions.write_text(json.dumps(content | {"info": "changed"}), encoding="utf-8")
    fits = {"weight": torch.zeros(1)}
    put(tmp_path, small_shapes, "Sound", PLAIN.format(body="return torch.full((len(images), 2), 2)"), fits)
    put(tmp_path, small_shapes, "Misfit", PLAIN.format(body="return images"), {"bias": torch.zeros(3)})
    put(tmp_path, small_shapes, "Forger", PLAIN.format(body="return torch.full((len(images), 2), 10**6)"), fits)
    (tmp_path / "folder").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())

    cases: list[tuple[tuple[str, ...], int, tuple[str, ...]]] = [
        (("CaptionLSTM", "--metrics", "bleu-5"), 2, ("bleu-5", "cider-d")),
        (("CaptionLSTM", "--metrics", ","), 2, ("no metric",)),
        (("Nonsense",), 2, ("Nonsense", "CaptionLSTM")),
        (("nonsense.py",), 2, ("nonsense.py",)),
        (("CaptionLSTM", "--captions", "absent/out.json"), 2, ("absent/out.json", "folder that exists")),
        (("CaptionLSTM", "--captions", "folder"), 2, ("folder", "no plain file")),
        (("CaptionLSTM", "--dataset", "nonsense"), 2, ("nonsense", "coco-caption")),
        (("Sound.py", "--transform", "nonsense"), 2, ("nonsense", "norm_64")),
        (("CaptionLSTM", "--captions", "out.json"), 2, ("neither", "--keep-weights")),
        (("Sound.py", "--beam", "3"), 2, ("beam_search", "--beam 1")),
        (("Sound.py", "--data", "absent"), 2, ("absent",)),
        (("Sound.py", "--data", "empty"), 2, ("captions_val2017.json", "no images")),
        (("Sound.py", "--data", "other"), 2, ("other captions", "--keep-weights")),
        (("Misfit.py", "--captions", "out.json"), 2, ("do not fit", "--keep-weights")),
        (("Forger.py", "--captions", "out.json"), 1, ("Forger", "row 0 is no list of ids")),
    ]
    calls = []
    for arguments, _, _ in cases:
        own_data = "--data" in arguments or "--dataset" in arguments
        calls.append(["evaluate", *arguments, "--offline", *([] if own_data else ["--data", str(small_shapes)])])
    finished = subprocess.run(
        [lemur_python, "-c", MANY, json.dumps(calls)],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    for (arguments, wanted, words), (code, message) in zip(cases, json.loads(finished.stdout), strict=True):
        assert code == wanted and message.startswith("error: ") and message.count("\n") == 1, (arguments, code, message)
        assert [word for word in words if word not in message] == [], (arguments, message)
    left = {path.name for path in tmp_path.iterdir()} - set(before)
    assert left <= {"ab", "README.md", "data", "db", "out"}, left


@pytest.mark.parametrize(
    "rows",
    [
        *({}, None, [[4]], [[4], [5], [6]], [[4], 5], [[4], ["5"]], [[4], [5.0]], [[4], [True]], [[4], [-1]]),
        *([[4], [9]], [[4], [[5]]], [[4], [None]], "ab"),
    ],
    ids=str,
)
def test_ids_of_another_form_are_refused(rows: object) -> None:
    assert evaluation._checked([[4], [8, 2, 0]], images=2, words=9) == [[4], [8, 2, 0]]
    with pytest.raises(ValueError, match=r"2 rows are wanted|row 1 is no list of ids from 0 to 8"):
        evaluation._checked(rows, images=2, words=9)


def _link(folder: Path, path: Path) -> None:
    path.symlink_to(folder / "secret")


def _hard_link(folder: Path, path: Path) -> None:
    os.link(folder / "secret", path)


def _pipe(folder: Path, path: Path) -> None:
    os.mkfifo(path)


def _folder(folder: Path, path: Path) -> None:
    path.mkdir()


def _large(folder: Path, path: Path) -> None:
    path.write_bytes(b"0" * 11)


def _nothing(folder: Path, path: Path) -> None:
    pass


@pytest.mark.parametrize("leave", [_link, _hard_link, _pipe, _folder, _large, _nothing])
def test_only_a_plain_file_is_taken_from_a_child(tmp_path: Path, leave: Callable[[Path, Path], None]) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    leave(tmp_path, tmp_path / "left")
    with pytest.raises(weights.NotPlainError, match="left"), weights.plain_file(tmp_path / "left", 10):
        pass
    (tmp_path / "plain").write_bytes(b"0123456789")
    with weights.plain_file(tmp_path / "plain", 10) as file:
        assert file.read() == b"0123456789"


def test_weights_are_those_of_one_version_of_a_net(tmp_path: Path, small_shapes: Path) -> None:
    name = put(tmp_path, small_shapes, "Sound", PLAIN, {})
    found = weights.find(tmp_path, "shapes", name, PLAIN, small_shapes)
    assert found is not None and torch.load(found.path, weights_only=True) == {}
    assert found.prm["transform"] == "norm_64"
    assert weights.find(tmp_path, "coco-caption", name, PLAIN, small_shapes) is None
    with pytest.raises(UsageError, match=r"another version of Sound-.*--keep-weights"):
        weights.find(tmp_path, "shapes", name, PLAIN + "x = 1\n", small_shapes)
    about = found.path.with_suffix(".json")
    about.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="is damaged"):
        weights.find(tmp_path, "shapes", name, PLAIN, small_shapes)
    about.unlink()
    assert weights.find(tmp_path, "shapes", name, PLAIN, small_shapes) is None, "a file without description is absent"


def test_beam_search_is_found_by_reading() -> None:
    assert evaluation.has_beam_search(BASELINE)
    assert not evaluation.has_beam_search(PLAIN)
    assert not evaluation.has_beam_search("def broken(")
