"""`runs`, `show`, `replay` and `restore`: what the records say, and how it comes back to life."""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import Run, assert_one_line
from lemur_caption.candidate import Candidate, Epoch, Outcome, Repair, SourcePass
from lemur_caption.cli import app
from lemur_caption.contract import ContractReport, Finding
from lemur_caption.errors import UsageError
from lemur_caption.generator.replay import Replay
from lemur_caption.lemur import registry
from lemur_caption.search.records import Records, State
from lemur_caption.strategies import Request, code_candidates
from sound_net import SOUND_NET

BASELINE = next(item.text for item in registry.items() if item.name == "CaptionLSTM")
SETTINGS = {"llm": "replay:[answers]", "strategy": "code", "n": 3, "dataset": "shapes", "metric": "bleu-4"}
RESPONSE = "[bold]sure\x1b[31m\n\n```python\nclass Net\n```"


def epoch(number: int, accuracy: float) -> Epoch:
    """An epoch with the record that LEMUR's runner leaves of it."""
    prm = {"lr": 0.001, "momentum": 0.9, "batch": 32, "epoch": number, "transform": "norm_64", "uid": f"uid{number}"}
    prm |= {"accuracy": accuracy, "duration": 10_540_000_000 + number, "duration_seconds": 10.54}
    prm |= {"metric_bleu-4": accuracy, "train_stat": {"train_loss": 3.25, "test_loss": 2.5, "gradient_norm": None}}
    return Epoch(number, accuracy, 3.25, None if number == 2 else 2.5, 10.54, prm)


@pytest.fixture
def net() -> Candidate:
    source = BASELINE + "# another Net\n"
    return Candidate(
        name=f"C5C-CaptionLSTM-{registry.code_id(source)}",
        family="C5C-CaptionLSTM",
        source=source,
        model="a-model",
        strategy="code",
        seed=11,
        prompt="system\n\nuser [/red]",
        response=RESPONSE,
        passes=[SourcePass("extraction", "class Net")],
        repairs=[Repair("mend", [{"rule": "LC101", "message": "no [colon]", "line": 3}], response="x")],
        findings=[{"rule": "LC140", "message": "a mere warning", "line": None}],
        design={"encoder": "fire"},
        epochs=[epoch(1, 0.125), epoch(2, 0.25)],
        parameters=123456,
        outcome=Outcome.TRAINED,
        prompt_tokens=7,
        seconds={"model": 1.5},
    )


@pytest.fixture
def root(tmp_path: Path, net: Candidate) -> Path:
    """A root whose records hold one finished run."""
    folder = tmp_path / "recorded"
    with Records.open(folder) as records:
        run = records.start_run(SETTINGS)
        samples = [{"image": "1.jpg", "caption": "a red circle", "reference": "a blue square"}]
        records.save(run, 0, net, "ended", quality=8.5, samples=samples)
        lost = Candidate("C5C-candidate1", "C5C", "", outcome=Outcome.NO_CODE, detail="only prose")
        records.save(run, 1, lost, "ended")
        records.save(run, 2, Candidate("C5C-candidate2", "C5C", ""), "planned")
        records.finish_run(run, "finished")
    return folder


def say(*arguments: object) -> str:
    """What a command prints; its exception is raised here."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_runs_lists_every_run(root: Path) -> None:
    with Records.open(root) as records:
        records.start_run({"path": "unusual"})
    text = say("runs", "--root", root)
    for words in ("finished", "replay:[answers]", "code", "bleu-4 0.2500", "running"):
        assert words in text, words
    first, second = json.loads(say("runs", "--root", root, "--json"))
    assert (first["id"], first["state"], first["candidates"], first["trained"], first["best"]) == (
        1,
        "finished",
        3,
        1,
        0.25,
    )
    assert second["settings"] == {"path": "unusual"} and second["best"] is None and second["versions"]["python"]


def test_a_run_whose_process_is_gone_is_shown_as_killed(root: Path) -> None:
    with Records.open(root) as records:
        run = records.start_run(SETTINGS)
        with records.claim(run):
            assert "killed" not in say("runs", "--root", root)
            with sqlite3.connect(records.path) as connection:
                connection.execute("UPDATE claim SET process_started = 0")
            assert "killed" in say("runs", "--root", root)


def test_show_tells_the_whole_trail(root: Path, net: Candidate) -> None:
    for which in ("1/0", net.name):
        text = say("show", which, "--root", root)
        for words in (
            *(
                "1/0",
                net.name,
                "trained",
                "a-model",
                "seed 11",
                "encoder fire",
                "extraction",
                "repair 1",
                "line 3: no [colon]",
            ),
            *("LC140", "123,456", "8.500", "metric 0.2500", "test loss not finite", "a red circle", "7 prompt tokens"),
        ):
            assert words in text, words
    assert "no_code  only prose" in say("show", "1/1", "--root", root)
    assert "planned" in say("show", "1/2", "--root", root)


@pytest.mark.parametrize("part", ["prompt", "response", "source"])
def test_show_prints_one_part_to_the_letter(root: Path, net: Candidate, part: str) -> None:
    assert say("show", "1/0", f"--{part}", "--root", root) == getattr(net, part)


def test_show_prints_json_for_programs(root: Path, net: Candidate) -> None:
    entry = json.loads(say("show", "1/0", "--json", "--root", root))
    assert {key: entry[key] for key in net.to_dict()} == net.to_dict()
    assert (entry["run"], entry["index"], entry["state"], entry["quality"]) == (1, 0, "ended", 8.5)
    run = json.loads(say("show", "1", "--json", "--root", root))
    assert run["settings"] == SETTINGS and [entry["index"] for entry in run["entries"]] == [0, 1, 2]


def test_show_lists_the_candidates_of_a_run(root: Path, net: Candidate) -> None:
    text = say("show", 1, "--root", root)
    for words in (
        "finished",
        "llm replay:[answers]",
        "torch ",
        "1 trained, 1 no_code, 1 open",
        f"{net.name}  0.1250 0.2500",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "7"), "no run 7"),
        (("show", "1/9"), "no candidate `1/9`"),
        (("show", "Nonsense"), "no candidate `Nonsense`"),
        (("show", "-1/0"), ""),
        (("show", "1", "--source"), "is a run"),
        (("show", "1/0", "--source", "--prompt"), "one of"),
        (("show", "1/0", "--source", "--json"), "one of"),
        (("replay", "x", "--to", "folder"), "`x` is no run"),
        (("replay", "7", "--to", "folder"), "no run 7"),
        (("restore", "7", "--offline"), "no run 7"),
        (("restore", "1/0"), "`1/0` is no run"),
    ],
)
def test_wrong_use_is_a_usage_error(root: Path, arguments: tuple[str, ...], words: str) -> None:
    result = CliRunner().invoke(app, [*arguments, "--root", str(root)])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, (UsageError, SystemExit)) and words in str(result.exception) + result.output


@pytest.mark.parametrize("verb", [("runs",), ("show", "1"), ("replay", "1", "--to", "folder"), ("restore",)])
def test_a_root_without_records_is_told_and_left_alone(tmp_path: Path, verb: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="nothing is recorded at"):
        say(*verb, "--root", tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


# --- replay ----------------------------------------------------------------------------------------------------------


def broken(layer: str) -> str:
    return SOUND_NET.replace("nn.GELU()", f"nn.{layer}()", 1)


def check(source: str) -> ContractReport:
    layers = [layer for layer in ("Swosh", "Gulp", "Blub") if layer in source]
    return ContractReport.of(
        [Finding("LC111", f"torch.nn has no attribute '{layer}'", "Use another.") for layer in layers]
    )


def test_replayed_responses_stand_in_the_order_in_which_the_model_was_asked(tmp_path: Path) -> None:
    answers = ["Only prose.", broken("Swosh"), broken("Gulp"), SOUND_NET, "", broken("Blub"), "Sorry.\r\n", SOUND_NET]
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    for number, answer in enumerate(answers):
        (recorded / f"{number}.txt").write_bytes(answer.encode())
    request = Request("CaptionLSTM", BASELINE, snippets=0, repairs=2)

    def search(folder: Path) -> list[Candidate]:
        return list(code_candidates(Replay(folder), itertools.islice(request.every(), 5), [], check))

    first = search(recorded)
    assert [len(candidate.repairs) for candidate in first] == [0, 2, 0, 1, 0]
    with Records.open(tmp_path) as records:
        run = records.start_run(SETTINGS)
        for index in (4, 2, 0, 1, 3):
            records.save(run, index, first[index], "checked")
        records.save(run, 5, Candidate("planned", "C1C", ""), "planned")
    assert "8 responses" in say("replay", 1, "--to", tmp_path / "again", "--root", tmp_path)
    files = sorted((tmp_path / "again").iterdir())
    assert [file.read_bytes().decode() for file in files] == answers
    assert len({file.stem.split("-seed")[1] for file in files}) == len(files)
    second = search(tmp_path / "again")
    for one, other in zip(first, second, strict=True):
        other.model = one.model
        assert one == other
    with pytest.raises(UsageError, match="choose an empty one"):
        say("replay", 1, "--to", tmp_path / "again", "--root", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        say("replay", 1, "--to", tmp_path / "file", "--root", tmp_path)


def test_a_repair_that_was_not_asked_for_has_no_response(tmp_path: Path, net: Candidate) -> None:
    net.repairs.append(Repair("mend", [], note="not asked: of 100 tokens of context the prompt takes 99"))
    net.outcome = None
    with Records.open(tmp_path) as records:
        records.save(records.start_run(SETTINGS), 0, net, State.CHECKED)
    written = json.loads(say("replay", 1, "--to", tmp_path / "to", "--root", tmp_path, "--json"))
    assert written["files"] == 2
    assert [file.read_text(encoding="utf-8") for file in sorted((tmp_path / "to").iterdir())] == [RESPONSE, "x"]


# --- restore ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nets_and_statistics_come_back_into_a_fresh_lemur(
    run: Run, lemur_python: Path, tmp_path: Path, root: Path, net: Candidate
) -> None:
    fresh = tmp_path / "fresh"
    with Records.open(root) as records:
        old = Candidate(
            "C5C-Old", "C5C", "class Net: pass\n", outcome=Outcome.TRAINED, epochs=[Epoch(1, 0.5, 1.0, 1.0, 1.0)]
        )
        records.save(records.start_run(SETTINGS), 0, old, "ended")
    finished = run("restore", "--root", fresh, "--from", root, "--offline", "--json")
    assert finished.returncode == 0, finished.stderr
    restored = json.loads(finished.stdout)
    assert restored.pop("database") == str(fresh / "db" / "ab.nn.db")
    assert restored == {"nets": 1, "epochs": 2, "present": 0, "unrecorded": 1, "runs": [1, 2]}

    program = f"""
from lemur_caption.cli import app
app(["restore", "1", "--from", {str(root)!r}, "--json"], standalone_mode=False)
from ab.nn.api import data
columns = ["task", "dataset", "metric", "nn", "nn_code", "epoch", "accuracy", "duration", "prm", "transform_code", "metric_code"]
print()
print(data(task="img-captioning")[columns].to_json(orient="records"))
"""
    frame = subprocess.run([lemur_python, "-c", program], cwd=fresh, capture_output=True, text=True)
    assert frame.returncode == 0, frame.stderr[-2000:]
    again = json.loads(frame.stdout[: frame.stdout.index("}") + 1])
    assert (again["nets"], again["epochs"], again["present"]) == (0, 0, 2), "a second call changes nothing"
    rows = json.loads(frame.stdout.splitlines()[-1])
    assert [(row["epoch"], row["accuracy"], row["duration"]) for row in rows] == [
        (epoch.epoch, epoch.accuracy, epoch.prm["duration"]) for epoch in net.epochs
    ]
    for row in rows:
        assert (row["task"], row["dataset"], row["metric"], row["nn"]) == (
            "img-captioning",
            "shapes",
            "bleu-4",
            net.name,
        )
        assert row["nn_code"] == net.source and row["prm"]["lr"] == 0.001 and row["prm"]["transform"] == "norm_64"
        assert "def transform" in row["transform_code"] and "create_metric" in row["metric_code"]
    with sqlite3.connect(fresh / "db" / "ab.nn.db") as connection:
        assert connection.execute("SELECT train_loss, test_loss FROM train_stat").fetchall() == [(3.25, 2.5)] * 2
        # LEMUR may hold a training that was killed, whose times are others than those of the one on record.
        connection.execute("UPDATE stat SET duration = duration + 1")
    third = run("restore", 1, "--root", fresh, "--from", root, "--offline", "--json")
    assert third.returncode == 0, third.stderr
    assert (json.loads(third.stdout)["epochs"], json.loads(third.stdout)["present"]) == (0, 2)


def test_errors_are_one_line(run: Run, tmp_path: Path, root: Path) -> None:
    (root / "lemur-caption" / "records.db").write_text("no records\n" * 100, encoding="utf-8")
    assert_one_line(run("show", "1/0", "--root", root), 1, "not a database", "records.db")
