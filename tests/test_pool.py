"""Where snippets come from: a release on disk, LEMUR's store, and what is left out of them."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lemur_caption.errors import UsageError
from lemur_caption.prompt import encoder_families, released_pool
from lemur_caption.prompt.pool import spread

NET = "import torch.nn as nn\n\n\nclass Block{0}(nn.Module):\n    def forward(self, x):\n        return x * {0}\n"


def release(root: Path) -> Path:
    """The folder of a small release: six Nets, of which four have classification statistics."""
    names = ["ast-1", "ast-2", "ast-3", "VGG", "RESNETLSTM", "Untrained"]
    nets = root / "ab/nn/nn"
    nets.mkdir(parents=True)
    (nets / "__init__.py").write_text("")
    for number, name in enumerate(names):
        (nets / f"{name}.py").write_text(NET.format(number))
    for name in ("ast-1", "ast-2", "ast-3", "VGG"):
        (root / f"ab/nn/stat/train/img-classification_cifar-10_acc_{name}").mkdir(parents=True)
    (root / "ab/nn/stat/train/img-captioning_coco_bleu_RESNETLSTM").mkdir()
    return root


def test_a_release_gives_its_classification_nets(tmp_path):
    pool = released_pool(release(tmp_path))
    assert [name for name, _ in pool] == ["VGG", "ast-1", "ast-2", "ast-3"]
    assert dict(pool)["VGG"] == NET.format(3)


def test_a_wheel_is_read_as_it_is(tmp_path):
    folder = release(tmp_path / "unpacked")
    wheel = tmp_path / "nn_dataset-2.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    assert released_pool(wheel) == released_pool(folder)


def test_a_folder_of_nets_alone_will_do(tmp_path):
    assert [name for name, _ in released_pool(release(tmp_path) / "ab/nn/nn")][:2] == ["RESNETLSTM", "Untrained"]


def test_siblings_do_not_crowd_out_the_others(tmp_path):
    assert [name for name, _ in released_pool(release(tmp_path), most=2)] == ["VGG", "ast-1"]
    assert spread([f"ga-{number}" for number in range(1000)] + ["VGG", "AirNet"], 3) == ["AirNet", "VGG", "ga-0"]


@pytest.mark.parametrize("kind", ["absent", "empty", "text", "later release"])
def test_no_release_is_one_line(tmp_path, kind):
    path = tmp_path / "release"
    if kind == "text":
        path.write_text("not a wheel")
    elif kind != "absent":
        path.mkdir()
    if kind == "later release":
        path = path / "later.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ab/nn/api.py", "")
    with pytest.raises(UsageError) as caught:
        released_pool(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "families"),
    [
        ("from torchvision.models import resnet50, ResNet50_Weights", ("resnet",)),
        (
            "import torchvision\nnet = torchvision.models.vit_b_16()\nclass VisionTransformer: ...",
            ("visiontransformer",),
        ),
        ("class DenseNet121(nn.Module): ...\nencoder = timm.create_model(swin_tiny)", ("densenet", "swin")),
        ("# like a ResNet\nclass Encoder: ...", ()),
        ("class Broken(:", ()),
    ],
)
def test_the_families_of_an_encoder(source, families):
    assert encoder_families(source) == families


def test_the_baselines_own_families_are_found():
    for item in ("CaptionLSTM", "CaptionTransformer"):
        source = Path(sys.modules["lemur_caption"].__file__).parent / "lemur_files" / "nn" / f"{item}.py"
        assert encoder_families(source.read_text(encoding="utf-8")) == ("resnet",)


def test_lemurs_store_gives_its_classification_nets(run, lemur_python, tmp_path):
    """The Nets come through LEMUR's own `ab.nn.api.data`; a captioning Net is none."""
    assert run("register", "--offline").returncode == 0
    code = f"""
import json
from lemur_caption.lemur.store import Store
store = Store.open({str(tmp_path)!r}, offline=True)
before = [name for name, _ in store.snippet_pool()][:2]
from ab.nn.util.db.Write import save_results
for number, (task, name) in enumerate([*[("img-classification", "Mine")] * 2, ("img-captioning", "Other")]):
    prm = {{"lr": 0.1, "batch": 4, "transform": "norm_96", "accuracy": 0.5, "duration": 1, "uid": f"u{{number}}"}}
    save_results((task, "cifar-10", "bleu-4", name, number + 1), prm, nn_code="class " + name + ": ...")
print(json.dumps([before, store.snippet_pool()]))
"""
    told = subprocess.run([lemur_python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    before, after = json.loads(told.splitlines()[-1])
    assert before == ["alexnet", "convnext"]
    assert after == [["Mine", "class Mine: ..."]]
