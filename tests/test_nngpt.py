"""The real nn-gpt: its readers fill our prompts, and its gate and its evaluation take our Nets.

nn-gpt 1.0.6 is installed into a folder of the test, without what it depends on: of all its models and trainers only the
gate, the evaluation and the reader of prompt files are used.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import make_lemur_venv
from lemur_caption.architecture import Design, json_schema, render
from lemur_caption.errors import UsageError
from lemur_caption.lemur.registry import FILES
from lemur_caption.nngpt import export, load
from lemur_caption.prompt import Snippet

pytestmark = pytest.mark.slow
RESPONSES = Path(__file__).parent / "data" / "responses"
SOUND, WITHOUT_CODE = "003.txt", "001.txt"
BASELINES = ("CaptionLSTM", "CaptionTransformer")
# What NNGPT's tools for editing, pruning, comparing and pre-training compute themselves and put into their own prompts.
COMPUTED = (
    *("target_summary", "source_edit", "norm_acc", "num_train_images", "pruning_ratio", "model_name"),
    *("epoch_1_accuracy", "target_pattern", "max_epoch"),
)


@dataclass
class Place:
    """A LEMUR of the test's own with NNGPT in it, and a root where both look for their files."""

    python: Path
    root: Path
    data: Path
    pylintrc: Path

    def run(self, *arguments: object, **environment: object) -> str:
        """Run the place's python; what it printed. Whatever it leaves on stderr is shown when it fails."""
        # LEMUR has pylint rate every Net; what it finds decides nothing here and takes longer than all the rest.
        variables = {"HF_HUB_OFFLINE": "1", "LEMUR_CAPTION_DATA": self.data, "PYLINTRC": self.pylintrc, **environment}
        variables["PATH"] = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        finished = subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=self.root,
            env=os.environ | {name: str(value) for name, value in variables.items()},
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, f"{finished.stdout[-3000:]}\n{finished.stderr[-3000:]}"
        return finished.stdout

    def call(self, program: str, *arguments: object, **environment: object) -> Any:
        """What a program prints last, read as JSON."""
        path = self.root / "program.py"
        path.write_text(program, encoding="utf-8")
        return json.loads(self.run(path, *arguments, **environment).splitlines()[-1])


@pytest.fixture(scope="module")
def nngpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `ab/gpt` of nn-gpt 1.0.6."""
    target = tmp_path_factory.mktemp("nn-gpt")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    ]
    command += ["--retries", "0", "--timeout", "15", "--target", str(target), "nn-gpt==1.0.6"]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode != 0:
        pytest.skip(f"nn-gpt 1.0.6 cannot be had: {(installed.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return target / "ab" / "gpt"


SEED = """
import sys
from lemur_caption.lemur.store import Store
from lemur_caption.prompt import torchvision_pool

store = Store.open(offline=True)
prm = {"lr": 0.001, "momentum": 0.9, "batch": 16, "transform": "norm_64", "accuracy": 0.125, "duration": 10**9}
for name in ("CaptionLSTM", "CaptionTransformer"):
    store.save_epoch(name, store.net_source(name), "shapes", "bleu-4", 1, prm | {"uid": name})
from ab.nn.util.db.Write import save_results

for name, code in torchvision_pool():
    if name in ("alexnet", "squeezenet", "vgg"):
        task = ("img-classification", "cifar-10", "bleu-4", name, 1)  # of the metrics that have a file here
        save_results(task, prm | {"uid": name}, nn_code=code)
print("{}")
"""


@pytest.fixture(scope="module")
def place(nngpt: Path, small_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    python = make_lemur_venv(folder / "venv")
    (package,) = folder.glob("venv/lib/python*/site-packages/ab")
    (package / "gpt").symlink_to(nngpt)
    root = folder / "root"
    (root / "ab").mkdir(parents=True)
    (root / "ab" / "gpt").symlink_to(nngpt)
    (root / "README.md").touch()
    pylintrc = folder / "pylintrc"
    pylintrc.write_text("[MAIN]\nignore-patterns=.*\n", encoding="utf-8")
    found = Place(python, root, small_shapes, pylintrc)
    found.call(SEED)
    return found


ALTER = """
import json, sys
from lemur_caption.errors import UsageError
from lemur_caption.nngpt import alter

def told(*arguments, **options):
    try:
        alter(*arguments, offline=True, **options)
    except UsageError as error:
        return str(error)

if __name__ == "__main__":
    llm = f"replay:{sys.argv[1]}"
    made = alter(2, "ours.json", llm, only_nn="CaptionLSTM", repairs=0, offline=True)
    wrong = {
        "0 epochs": told(0, "ours.json", llm),
        "no prompt file missing.json": told(1, "missing.json", llm),
        "for img-captioning only": told(1, "NN_alter.json", llm),
        "asks for an edit": told(1, "edits.json", llm),
        "no results of Nets named Blip2Fast": told(1, "NN_gen_delta_captioning.json", llm),
        "no results of the Net `Nobody`": told(1, "ours.json", llm, only_nn="Nobody"),
        "takes no GGUF file": told(1, "ours.json", llm, "weights.gguf"),
        "its addon_task is img-segmentation": told(1, "odd.json", llm),
    }
    print(json.dumps({"made": [[c.name, c.outcome and c.outcome.value] for c in made], "wrong": wrong}))
"""


@pytest.fixture(scope="module")
def altered(place: Place) -> dict[str, Any]:
    """What `alter` made of two recorded responses: one has a sound Net, one has none."""
    responses = place.root / "responses"
    responses.mkdir()
    for name, response in (("1.txt", SOUND), ("2.txt", WITHOUT_CODE)):
        shutil.copy(RESPONSES / response, responses / name)
    prompts = export(2, "pocket")
    (place.root / "ours.json").write_text(json.dumps(prompts), encoding="utf-8")
    (odd,) = prompts.values()
    for name, change in (("odd", {"addon_task": "img-segmentation"}), ("edits", {"use_delta": True})):
        (place.root / f"{name}.json").write_text(json.dumps({name: odd | change}), encoding="utf-8")
    stale = place.root / "out" / "nngpt" / "llm" / "epoch" / "A7" / "synth_nn" / "B0" / "new_nn.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    return dict(place.call(ALTER, responses))


def net_folder(place: Place, epoch: int) -> Path:
    return place.root / "out" / "nngpt" / "llm" / "epoch" / f"A{epoch}" / "synth_nn" / "B0"


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


ALWAYS = {
    *("full_output.txt", "prompt_used.txt", "original_caption.py", "dataframe.df", "hp.txt", "candidate.json"),
    *("addons/addon_1.py", "addons/addon_2.py"),
}


def test_alter_writes_nngpts_folders(place: Place, altered: dict[str, Any]) -> None:
    assert [outcome for _, outcome in altered["made"]] == [None, "no_code"]
    sound, empty = (net_folder(place, epoch) for epoch in (0, 1))
    assert sorted(path.name for path in sound.parents[2].iterdir()) == ["A0", "A1"], "what an earlier run left is gone"
    assert names_in(sound) == ALWAYS | {"new_nn.py"}
    assert names_in(empty) == ALWAYS | {"repair_error.txt"}
    trail = json.loads((sound / "candidate.json").read_text(encoding="utf-8"))
    assert trail["source"] == (sound / "new_nn.py").read_text(encoding="utf-8")
    assert trail["name"] == altered["made"][0][0] and trail["family"] == "C2C-CaptionLSTM"
    assert (sound / "full_output.txt").read_text(encoding="utf-8") == (RESPONSES / SOUND).read_text(encoding="utf-8")
    assert "no_code: " in (empty / "repair_error.txt").read_text(encoding="utf-8")
    baseline = (FILES / "nn" / "CaptionLSTM.py").read_text(encoding="utf-8")
    assert (sound / "original_caption.py").read_text(encoding="utf-8") == baseline
    asked = (sound / "prompt_used.txt").read_text(encoding="utf-8")
    assert baseline.strip() in asked and "CaptionLSTM, bleu-4 0.125." in asked
    assert json.loads((sound / "hp.txt").read_text(encoding="utf-8")) == {
        **{"lr": 0.001, "momentum": 0.9, "batch": 16, "transform": "norm_64"}
    }


def test_a_call_that_cannot_work_says_why(altered: dict[str, Any]) -> None:
    for words, message in altered["wrong"].items():
        assert message is not None and words in message and "\n" not in message, f"{words!r} is not in {message!r}"


GATE = """
import json, sys
from pathlib import Path
from ab.gpt.util.Eval import Eval

prm = {"lr": 0.001, "momentum": 0.9, "batch": 16, "transform": "norm_64", "epoch": 1}
found = {}
for path in map(Path, sys.argv[1:]):
    name, accuracy, *_ = Eval(str(path.parent), "img-captioning", "shapes", "bleu-4", dict(prm)).evaluate(path)
    found[path.name] = accuracy
print(json.dumps(found))
"""


def test_the_gate_takes_the_baselines_and_a_rendered_design(place: Place, tmp_path: Path) -> None:
    choices = json_schema("pocket")["properties"]
    design = Design.from_json(json.dumps({name: entry["enum"][0] for name, entry in choices.items()}))
    (tmp_path / "Rendered.py").write_text(render(design), encoding="utf-8")
    for name in BASELINES:
        shutil.copy(FILES / "nn" / f"{name}.py", tmp_path)
    found = place.call(GATE, *sorted(tmp_path.glob("*.py")))
    assert set(found) == {"CaptionLSTM.py", "CaptionTransformer.py", "Rendered.py"}
    assert all(0.0 <= accuracy <= 1.0 for accuracy in found.values()), found


def test_nneval_evaluates_what_alter_wrote(place: Place, altered: dict[str, Any]) -> None:
    printed = place.run("-m", "ab.gpt.NNEval", "--nn_name_prefix", "C2C-CaptionLSTM")
    sound, empty = (net_folder(place, epoch) for epoch in (0, 1))
    assert f"Code file new_nn.py not found in {empty}. Skipping." in printed
    evaluated = json.loads((sound / "eval_info.json").read_text(encoding="utf-8"))
    assert evaluated["eval_results"]["checksum"] == altered["made"][0][0]
    assert evaluated["cli_args"]["dataset"] == "shapes" and evaluated["cli_args"]["transform"] == "norm_64"
    assert 0.0 <= evaluated["eval_results"]["accuracy"] <= 1.0
    assert not (sound / "error.txt").exists() and (sound / "1.json").exists()


READER = """
import json, os, sys, types
import torch

class Tokenizer:
    pad_token, pad_token_id, eos_token_id = "x", 0, 1
    asked = []

    def apply_chat_template(self, messages, **options):
        self.asked.append(messages[-1]["content"])
        return torch.ones(1, 3, dtype=torch.long)

    def decode(self, ids, **options):
        return open(sys.argv[1], encoding="utf-8").read()

class Model:
    device = "cpu"

    def generate(self, input_ids, **options):
        return torch.cat([input_ids, input_ids], dim=1)

class LLM:
    # Stands where NNGPT loads a language model; all that reads the prompt file is its own.
    def __init__(self, name, gguf_file=None):
        pass

    def get_model(self):
        return Model()

    def get_tokenizer(self):
        return Tokenizer()

sys.modules["ab.gpt.util.LLM"] = types.ModuleType("ab.gpt.util.LLM")
sys.modules["ab.gpt.util.LLM"].LLM = LLM
from ab.gpt.util.AlterCaptionNN import alter
from ab.gpt.util.Const import epoch_dir
import pandas

alter(1, sys.argv[2], "stand-in", only_nn="CaptionLSTM")
theirs = epoch_dir(0) / "synth_nn" / "B0"
rows = [pandas.read_pickle(path) for path in (theirs / "dataframe.df", sys.argv[3])]
types_of = [[type(row).__name__, {name: type(value).__name__ for name, value in row.items()}] for row in rows]
print(json.dumps({"asked": Tokenizer.asked, "folder": str(theirs), "rows": types_of, "same": [
    name for name in rows[0].index if rows[0][name] == rows[1].get(name)
]}))
"""


def test_nngpts_own_reader_fills_our_prompts(place: Place, altered: dict[str, Any], tmp_path: Path) -> None:
    told = place.call(
        *(READER, RESPONSES / SOUND, place.root / "ours.json", net_folder(place, 0) / "dataframe.df"),
        NNGPT_DIR_OVERRIDE=tmp_path,
    )
    (asked,) = told["asked"]
    theirs = Path(told["folder"])
    addons = [path.read_text(encoding="utf-8") for path in sorted((theirs / "addons").glob("*.py"))]
    baseline = (FILES / "nn" / "CaptionLSTM.py").read_text(encoding="utf-8")
    assert baseline in asked and "CaptionLSTM, bleu-4 0.125." in asked
    assert len(addons) == 2 and all(code in asked for code in addons)
    # The same words as ours, but for the code of the blocks.
    ours, snippets = load(place.root / "ours.json")[0], [Snippet("", code) for code in addons]
    row = {"nn": "CaptionLSTM", "metric": "bleu-4", "accuracy": 0.125}
    assert asked == ours.template(row)(baseline, snippets)[1]
    # Our folders have the names and the row that theirs have; theirs keeps passes in files, ours in the trail.
    passes = {name for name in names_in(theirs) if name[:2].isdigit()}
    assert names_in(theirs) - passes <= ALWAYS | {"new_nn.py"}
    assert told["rows"][0] == told["rows"][1]
    assert {"nn", "nn_code", "task", "dataset", "metric", "prm", "accuracy"} <= set(told["same"])


def test_nngpts_prompts_are_filled_by_ours(nngpt: Path) -> None:
    row = {name: f"<the {name}>" for name in ("task", "dataset", "metric", "metric_code", "nn", "transform_code")}
    row |= {"accuracy": 0.5, "epoch": 1, "duration": 10, "prm": {"lr": 0.001}}
    snippets = [Snippet(f"Net{number}", f"<code {number}>") for number in range(4)]
    filled = []
    for path in sorted((nngpt / "conf" / "prompt").rglob("*.json")):
        try:
            for entry in load(path):
                _, user = entry.template(row)("<the baseline>", snippets[: entry.snippets])
                places = [para for para, _ in (*entry.inputs, *entry.addons)] + ["supporting_models_prompt", "block"]
                assert not any(f"{{{name}}}" in user for name in places), f"{entry.name}: {user[:500]}"
                filled.append(entry.name)
        except UsageError as error:
            assert any(name in str(error) for name in COMPUTED) or "no prompt" in str(error), error
    assert len(filled) > 150
    generation = (
        "NN_alter",
        "NN_gen",
        "NN_gen_delta_captioning",
        "NN_prompt",
        "NN_Rag",
        "Mix",
        "Curriculum_L1_high_k2",
    )
    for name in generation:
        assert any(f"/{name}.json, " in entry for entry in filled), f"{name}.json"
