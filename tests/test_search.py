"""The search from end to end, with recorded answers: outcomes, records, LEMUR's rows, kills and resumption."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import REPOSITORY, assert_one_line
from lemur_caption.architecture import json_schema, random_design
from lemur_caption.candidate import Candidate, Epoch, Outcome
from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.generator.replay import Replay
from lemur_caption.lemur.runner import TrialResult
from lemur_caption.search import baselines
from lemur_caption.search.executors import Task
from lemur_caption.search.feedback import Plan, get_policy
from lemur_caption.search.loop import Search
from lemur_caption.search.records import Records
from lemur_caption.search.settings import Settings
from lemur_caption.search.training import Training
from lemur_caption.strategies import Request

ANSWERS = 5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "data"
    render_shapes(folder, train=32, val=8)
    return folder


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded designs; the third repeats the first, and the fourth is none."""
    folder = tmp_path_factory.mktemp("search") / "answers"
    folder.mkdir()
    rng = random.Random(5)
    texts = [random_design(rng).model_dump_json() for _ in range(ANSWERS)]
    texts[2], texts[3] = texts[0], "I would rather write a poem."
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def command(lemur_python: Path, data: Path, answers: Path, tmp_path: Path) -> list[str]:
    return [
        *(str(lemur_python), "-m", "lemur_caption", "search", "--offline", "--json", "--strategy", "design"),
        *("--llm", f"replay:{answers}", "--data", str(data), "--root", str(tmp_path / "root"), "--workers", "1"),
        *("--snippets", "1", "--n", str(ANSWERS), "--epochs", "1"),
    ]


def run(command: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run([*command, *more], capture_output=True, text=True, env=environment, timeout=600)


def rows(root: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(root / "db" / "ab.nn.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return sorted(connection.execute("SELECT nn, epoch FROM stat"))


@pytest.mark.slow
def test_a_search_ends_every_candidate_and_keeps_all_of_it(command, tmp_path):
    done = run(command)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["outcomes"]["duplicate"] == 1 and told["outcomes"]["no_code"] == 1
    assert told["state"] == "finished" and set(told["baselines"]) == {"CaptionLSTM", "CaptionTransformer"}
    with Records.open(tmp_path / "root") as records:
        entries = records.entries(1)
    assert [entry.index for entry in entries] == [-2, -1, *range(ANSWERS)]
    assert all(entry.candidate.outcome for entry in entries)
    trained = sorted((entry.candidate.name, 1) for entry in entries if entry.candidate.epochs)
    assert rows(tmp_path / "root") == trained and len(trained) == 5
    assert "hash" in entries[4].candidate.detail or "exists already" in entries[4].candidate.detail
    # The same search again finds its Nets in LEMUR's store before any of them is trained.
    again = json.loads(run(command).stdout)
    assert again["outcomes"] == {"duplicate": ANSWERS - 1, "no_code": 1}


CHATTY = """
import sys, threading
from lemur_caption.cli import app
from lemur_caption.generator.replay import Replay

answer = Replay.generate

def generate(self, *arguments):
    threading.Thread(target=print, args=("a node has died",)).start()
    return answer(self, *arguments)

Replay.generate = generate
app(sys.argv[1:])
"""


@pytest.mark.slow
def test_what_other_packages_print_does_not_come_between_the_results(command):
    python, _, _, *arguments = command
    done = run([python, "-c", CHATTY, *arguments], "--n", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["state"] == "finished"
    assert "a node has died" in done.stderr


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(lemur_python):
    script = REPOSITORY / "benchmarks" / "search_kills.py"
    options = ["--kills", "3", "--n", "4", "--longest", "7", "--seed", "1"]
    done = subprocess.run(
        [lemur_python, script, *options], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["candidates"] == 4


def interrupted(command: list[str], *more: str, at: str, times: int) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a search that gets so many SIGINTs once it has said `at`."""
    with subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if re.search(at, line):
                break
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            said.append(process.stderr.readline())
            while "stops at once" not in said[-1] and "stopping" not in said[-1]:
                said.append(process.stderr.readline())
        out, err = process.communicate(timeout=300)
        return process.returncode, out, "".join(said) + err


@pytest.mark.slow
def test_an_interrupt_finishes_what_is_trained_and_the_run_goes_on_later(command, tmp_path):
    code, out, err = interrupted(command, "--epochs", "2", at=r"^ +0 .*: epoch 1:", times=1)
    assert code == 130 and "Traceback" not in err, err
    assert json.loads(out)["state"] == "stopped"
    with Records.open(tmp_path / "root") as records:
        states = [state.value for index, state in records.states(1).items() if index >= 0]
    assert set(states) == {"ended", "checked"}, "what waited for its turn has not begun"
    resumed = run(command, "--resume", "1")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert json.loads(resumed.stdout)["state"] == "finished"
    with Records.open(tmp_path / "root") as records:
        assert {state.value for state in records.states(1).values()} == {"ended"}
        assert sorted(records.states(1)) == [-2, -1, *range(ANSWERS)]


@pytest.mark.slow
def test_a_second_interrupt_stops_at_once(command, tmp_path):
    code, out, err = interrupted(command, "--epochs", "1000", at="CaptionLSTM: epoch 1:", times=2)
    assert (code, out) == (130, "") and "Traceback" not in err, err
    with Records.open(tmp_path / "root") as records:
        assert records.run(1).state.value == "stopped"
        assert {index: state.value for index, state in records.states(1).items()} == {-1: "training"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--llm", "replay:nowhere"], ["no such folder"]),
        (["--strategy", "magic"], ["unknown strategy", "design"]),
        (["--feedback", "magic"], ["magic"]),
        (["--pruner", "axe"], ["unknown pruner"]),
        (["--executor", "abacus"], ["unknown executor"]),
        (["--metric", "beauty"], ["unknown metric"]),
        (["--dataset", "cifar"], ["unknown dataset"]),
        (["--baseline", "Nobody"], ["no Net `Nobody`"]),
        (["--budget", "soon"], ["budget"]),
        (["--resume", "7"], ["7"]),
        (["--resume", "last"], ["no run is unfinished"]),
        (["--data", "nowhere"], ["does not exist"]),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_run(command, tmp_path, options, words):
    done = run(command, *options)
    assert_one_line(done, 2, *words)
    with Records.open(tmp_path / "root") as records:
        assert records.runs() == []


def test_a_resumed_run_bounds_its_trials_by_the_baselines_as_a_new_one_does(tmp_path, answers):
    with Records.open(tmp_path) as records:
        number = records.start_run(Settings().to_dict())
        for index, seconds in ((-1, 5.0), (-2, 30.0)):
            baseline = Candidate(f"Baseline{index}", "hand-made", "class Net: ...", seconds={"training": seconds})
            baseline.finish(Outcome.TRAINED, "", [Epoch(n, 0.5, 1.0, 1.0, seconds) for n in (1, 2, 3)])
            records.save(number, index, baseline, "ended")
        parts = SimpleNamespace(records=records, generator=Replay(answers))
        search = Search(number, Settings(), parts, lambda event: None)
        assert baselines.timeout(Settings(), search.ended) == 3 * 3600.0
        search._resume()
        assert baselines.timeout(Settings(), search.ended) == 300.0
        assert baselines.timeout(Settings(timeout_seconds=7.0), search.ended) == 7.0


def test_the_first_candidates_know_the_baseline_that_they_start_from(tmp_path, answers):
    known: list[list[int]] = []

    class Policy:
        learns = True

        def plan(self, index, finished, taken=()):
            known.append([place for place, _ in finished])
            return Plan(exploration=True)

    with Records.open(tmp_path) as records:
        parts = SimpleNamespace(records=records, generator=Replay(answers), policy=Policy())
        search = Search(records.start_run({}), Settings(lag=3), parts, lambda event: None)
        for index, name in ((-1, "CaptionLSTM"), (-2, "CaptionTransformer")):
            search._ended[index] = Candidate(name, "hand-made", "class Net: ...")
        requests = search._requests()
        assert [next(requests)[0] for _ in range(3)] == [0, 1, 2]
    assert known == [[-1], [-1], [-1]]


@pytest.mark.parametrize(("feedback", "most"), [("none", 4), ("effects", 2)])
def test_only_who_learns_waits_for_what_it_learns_from(tmp_path, answers, feedback, most):
    """With a lag of 2 and two workers, and nothing trained yet: four are under way where nothing is to be learned."""
    with Records.open(tmp_path) as records:
        parts = SimpleNamespace(
            records=records,
            generator=Replay(answers),
            policy=get_policy(feedback),
            executor=SimpleNamespace(workers=2),
        )
        search = Search(records.start_run({}), Settings(lag=2), parts, lambda event: None)
        assert [search._may_ask(index) for index in range(6)] == [index < most for index in range(6)]
        search._ended[0] = Candidate("first", "", "")
        assert search._may_ask(most) and not search._may_ask(most + 1)
        narrow = Search(records.start_run({}), Settings(lag=1), parts, lambda event: None)
        assert narrow.idle_workers == (1 if feedback == "effects" else 0)


def test_a_resumed_search_knows_the_twins_that_an_unbroken_one_does(tmp_path, answers):
    warned = "class Net:\n    a = 3\n"
    sound, refused, same = "class Net:\n    a = 1\n", "class Net:\n    a = 2\n", "class Net:\n    b = c = 1\n"
    with Records.open(tmp_path) as records:
        number = records.start_run({})
        trained = Candidate("sound", "", sound, fingerprint="what it computes")
        trained.finish(Outcome.TRAINED, "", [Epoch(1, 0.5, 1.0, 1.0, 1.0)])
        records.save(number, 0, trained, "ended")
        spoilt = Candidate("warned", "", warned, findings=[{"rule": "LC407", "severity": "warning"}])
        spoilt.finish(Outcome.DIVERGED, "", [])
        records.save(number, 2, spoilt, "ended")
        broken = Candidate("refused", "", refused, findings=[{"rule": "LC103"}])
        broken.end(Outcome.CONTRACT)
        records.save(number, 1, broken, "ended")
        parts = SimpleNamespace(
            records=records,
            generator=Replay(answers),
            store=SimpleNamespace(captioning_nets=list),
            strategy=lambda *_, **__: iter(()),
            pool=[],
            check=None,
        )
        search = Search(number, Settings(), parts, lambda event: None)
        search._ended[-1] = Candidate("CaptionLSTM", "", "")
        search._produce()
    assert search._finder.find(refused) is None
    assert search._finder.find(warned) is not None, "it was trained, though the contract had a word to say"
    assert str(search._finder.find(same, "what it computes")) == "computes what sound computes, operation for operation"


def test_the_last_epoch_is_kept_with_what_the_trial_tells_at_its_end(tmp_path, answers):
    """A run that is killed between the two would know less of the Net than one that is not."""
    stored: list[int] = []
    store = SimpleNamespace(has_epoch=lambda *_: False, save_epoch=lambda *epoch: stored.append(epoch[4]))
    with Records.open(tmp_path) as records:
        parts = SimpleNamespace(records=records, generator=Replay(answers), store=store)
        search = Search(records.start_run({}), Settings(epochs=2), parts, lambda event: None)
        training = Training(search, 0, Candidate("Net", "", "class Net: ..."))
        epochs = [Epoch(number, 0.5, 1.0, 1.0, 1.0) for number in (1, 2)]
        for epoch in epochs:
            assert not training.epoch(epoch)
        assert stored == [1] and len(records.candidate("1/0").candidate.epochs) == 1
        done: Future[TrialResult] = Future()
        done.set_result(TrialResult(Outcome.TRAINED, "", epochs, parameters=7))
        training.finish(done, Future())
        ended = records.candidate("1/0")
    assert stored == [1, 2] and ended.state.value == "ended"
    assert (ended.candidate.parameters, len(ended.candidate.epochs)) == (7, 2)


@pytest.mark.parametrize(
    ("docstring", "chosen"),
    [
        ("Learning rate 0.002, momentum 0.8.", (0.002, 0.8)),
        ("lr 0.002 at first, later lr 0.001", (1e-3, 0.9)),
        ("lr 30, momentum 1.5", (1e-3, 0.9)),
        ("A Net.", (1e-3, 0.9)),
    ],
)
def test_a_net_is_trained_as_its_code_suggests(tmp_path, answers, docstring, chosen):
    submitted: list[Task] = []

    def submit(task, on_epoch):
        submitted.append(task)
        return Future()

    with Records.open(tmp_path) as records:
        parts = SimpleNamespace(
            records=records, generator=Replay(answers), executor=SimpleNamespace(submit=submit), data=str(tmp_path)
        )
        search = Search(records.start_run({}), Settings(), parts, lambda event: None)
        for index in (0, -1):
            search._submit(index, Candidate("Net", "", f'class Net:\n    """{docstring}"""\n'))
    generated, baseline = (task.job for task in submitted)
    assert (generated.lr, generated.momentum) == chosen
    assert (baseline.lr, baseline.momentum) == (1e-3, 0.9), "baselines keep the budget that all share"


@pytest.mark.parametrize("feedback", ["effects", "archive"])
def test_a_later_request_starts_from_what_trained_well(tmp_path, answers, feedback):
    rng = random.Random(3)
    known = {}
    for index in range(6):
        design = random_design(rng)
        known[index] = Candidate(f"C5C-CaptionLSTM-{index}", "C5C-CaptionLSTM", f"class Net: n = {index}")
        known[index].design = design.model_dump(mode="json")
        known[index].finish(Outcome.TRAINED, "", [Epoch(1, index / 10, 1.0, 1.0, 1.0)])
    policy = get_policy(feedback, 0, "pocket", 24)
    with Records.open(tmp_path) as records:
        parts = SimpleNamespace(records=records, generator=Replay(answers), policy=policy)
        search = Search(records.start_run({}), Settings(), parts, lambda event: None)
        plain = Request("CaptionLSTM", "class Net: ...", 0.5)
        later = [search._learned(index, plain, known) for index in range(16, 24)]
    exploiting = [request for request in later if request.parents]
    assert exploiting, "of eight late candidates none builds on an earlier one"
    for request in exploiting:
        (parent,) = (candidate for candidate in known.values() if candidate.name == request.parents[0])
        assert (request.baseline_name, request.baseline_source) == (parent.name, parent.source)
        assert request.family == "C5C-CaptionLSTM" and request.examples and request.pinned
        free = [len(field["enum"]) for field in json_schema("pocket", request.pinned)["properties"].values()]
        assert sum(count > 1 for count in free) <= 2, "at most two fields are the model's to choose"


@pytest.mark.slow
def test_tuning_counts_the_best_of_a_nets_trials(command, tmp_path):
    done = run([*command[: command.index("--n")], "--n", "1", "--epochs", "1", "--tune", "1"])
    assert done.returncode == 0, done.stderr[-2000:]
    with Records.open(tmp_path / "root") as records:
        found = {index: candidate for index, _, candidate in records.candidates(1)}
    with sqlite3.connect(tmp_path / "root" / "db" / "ab.nn.db") as connection:
        rows = connection.execute("SELECT nn, accuracy FROM stat").fetchall()
    for candidate in found.values():
        scores = [accuracy for name, accuracy in rows if name == candidate.name]
        assert len(scores) == 2, f"one trial and one of Optuna's, {candidate.name}: {scores} {candidate.detail}"
        assert candidate.epochs[-1].accuracy == max(scores) and candidate.seconds["tuning"] > 0
    elsewhere = run([*command, "--tune", "1", "--data", str(tmp_path)])
    assert_one_line(elsewhere, 2, "run 1 has tuned on", "--root")
    refused = run([*command, "--tune", "1", "--executor", "ray"])
    assert refused.returncode == 2 and "this machine alone" in refused.stderr
