"""The main job from end to end: design, check, train in LEMUR, store, show."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
import torch

from conftest import Run, assert_one_line
from lemur_caption.architecture import random_design
from lemur_caption.dataset.coco import load
from lemur_caption.lemur import registry

pytestmark = pytest.mark.slow
# By how much BLEU-4 the best designed Net must beat the captioner that always says the commonest training caption.
MARGIN = 0.1


def designs(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = random.Random(7)
    for index in range(count):
        (folder / f"{index:02}.txt").write_text(random_design(rng).model_dump_json(), encoding="utf-8")
    return folder


def commonest_caption_score(folder: Path) -> float:
    """BLEU-4 of answering the most frequent training caption for every validation image, by LEMUR's metric file."""
    splits = load(folder, lambda image: torch.zeros(1))
    counts = Counter(tuple(row.tolist()) for i in range(len(splits.train)) for row in splits.train.labels(i))
    (caption, _) = max(counts.items(), key=lambda item: (item[1], item[0]))
    text = next(item.text for item in registry.items() if item.name == "bleu-4")
    namespace: dict[str, object] = {}
    exec(compile(text, "bleu-4.py", "exec"), namespace)
    metric = namespace["create_metric"]((len(splits.vocabulary),))  # type: ignore[operator]
    for i in range(len(splits.val)):
        metric(torch.tensor([caption]), splits.val.labels(i)[None])
    return float(metric.result())


def test_the_embedded_model_designs_a_net_that_beats_the_commonest_caption(run: Run, tmp_path: Path) -> None:
    finished = run("demo", "--n", 1, "--epochs", 2, "--json")
    assert finished.returncode == 0, finished.stderr[-3000:]
    report = json.loads(finished.stdout)
    baseline, *designed = report["candidates"]
    trained = [candidate for candidate in designed if candidate["outcome"] in ("trained", "improved")]
    assert baseline["name"] == "CaptionLSTM" and baseline["outcome"] == "trained" and len(trained) == 1
    commonest = commonest_caption_score(tmp_path / "data" / "shapes")
    assert 0.05 < commonest < 0.3
    best = trained[0]["epochs"][-1]["accuracy"]
    assert best > commonest + MARGIN, (best, commonest)
    assert trained[0]["model"] == "SmolLM2-135M-Instruct" and len(trained[0]["snippets"]) == 5
    with sqlite3.connect(report["database"]) as connection:
        rows = connection.execute("SELECT nn, epoch, COUNT(*) FROM stat GROUP BY 1, 2 ORDER BY 1, 2").fetchall()
    assert sorted(rows) == sorted((c["name"], epoch, 1) for c in (baseline, *trained) for epoch in (1, 2))


def test_the_demo_shows_a_table_captions_and_the_database(run: Run, tmp_path: Path, small_shapes: Path) -> None:
    answers = designs(tmp_path / "answers", 3)
    (answers / "01.txt").write_text("I would rather write a poem.", encoding="utf-8")
    finished = run(
        "demo", "--llm", f"replay:{answers}", "--n", 2, "--epochs", 1, env={"LEMUR_CAPTION_DATA": str(small_shapes)}
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    for words in ("CaptionLSTM", "C5C-CaptionLSTM-", "no_code", "trained", "reference", "best design", "baseline"):
        assert words in finished.stdout, words
    assert finished.stdout.rstrip().endswith(str(tmp_path / "db" / "ab.nn.db"))
    trails = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "out").rglob("*.json")]
    assert Counter(trail["outcome"] for trail in trails)["no_code"] == 1
    assert all(trail["outcome"] and trail["prompt"] and trail["response"] for trail in trails)


def test_generate_prints_candidates_for_programs(run: Run, tmp_path: Path) -> None:
    answers = designs(tmp_path / "answers", 2)
    (answers / "02.txt").write_text((answers / "01.txt").read_text(encoding="utf-8"), encoding="utf-8")
    finished = run("generate", "--llm", f"replay:{answers}", "--n", 3, "--snippets", 1, "--json")
    assert finished.returncode == 1, finished.stderr
    first, second, third = json.loads(finished.stdout)
    assert first["outcome"] is None and second["outcome"] is None and third["outcome"] == "duplicate"
    assert first["name"] == f"C1C-CaptionLSTM-{registry.code_id(first['source'])}"
    assert (tmp_path / "out" / "lemur-caption" / f"{first['name']}.py").read_text(encoding="utf-8") == first["source"]
    again = json.loads(run("generate", "--llm", f"replay:{answers}", "--n", 2, "--snippets", 1, "--json").stdout)
    assert [candidate["name"] for candidate in again] == [first["name"], second["name"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--llm", "nonsense"), ("nonsense", "smollm2")),
        (("--llm", "replay:absent"), ("absent",)),
        (("--strategy", "nonsense"), ("nonsense", "design")),
        (("--size", "nonsense", "--llm", "replay:answers"), ("nonsense", "pocket")),
        (("--baseline", "Nonsense"), ("Nonsense", "CaptionLSTM")),
    ],
)
def test_wrong_use_of_generate_is_one_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    designs(tmp_path / "answers", 1)
    finished = run("generate", "--n", 1, *arguments)
    assert finished.returncode in (1, 2)
    assert_one_line(finished, finished.returncode, *words)
