"""Experiments: files into searches, searches into runs that survive a kill, runs into one table."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from conftest import REPOSITORY, Run
from lemur_caption.candidate import Candidate, Epoch, Outcome
from lemur_caption.cli import app
from lemur_caption.errors import UsageError
from lemur_caption.experiment.book import Book
from lemur_caption.experiment.protocol import Protocol, read
from lemur_caption.experiment.running import ApartStore, Experiment, check
from lemur_caption.experiment.summary import Found, compact, found, markdown, summary
from lemur_caption.lemur.root import Lemur
from lemur_caption.report.source import read as read_runs
from lemur_caption.search import session
from lemur_caption.search.records import Records, RunState
from lemur_caption.search.settings import Settings

FILES = sorted((REPOSITORY / "experiments").glob("*.toml"))


def protocol(text: str, folder: Path) -> Protocol:
    path = folder / "file.toml"
    path.write_text(text, encoding="utf-8")
    return read(path, folder / "data")


# --- the file ---------------------------------------------------------------------------------------------------------


def test_every_combination_is_a_search_and_several_tables_are_a_union(tmp_path: Path) -> None:
    grid = protocol('[search]\nn = 3\nlr = 1\n[vary]\nsnippets = [5, 10]\nseed = [0, 1]\nllm = ["random"]', tmp_path)
    assert [(one.snippets, one.seed) for one in grid.searches] == [(5, 0), (5, 1), (10, 0), (10, 1)]
    assert {(one.n, one.lr, one.llm) for one in grid.searches} == {(3, 1.0, "random")}
    assert grid.label(grid.searches[2]) == "snippets=10 seed=0 llm=random" and grid.title == "file"
    union = protocol('[[vary]]\nfeedback = ["effects", "none"]\n[[vary]]\nllm = ["random"]\nseed = [3]', tmp_path)
    assert [(one.feedback, one.llm, one.seed) for one in union.searches] == [
        *(("effects", "smollm2", 0), ("none", "smollm2", 0), ("effects", "random", 3)),
    ]
    assert union.varied == ("feedback", "llm", "seed")
    assert protocol("", tmp_path).searches == (Settings(),)


def test_folders_start_at_the_file_and_shapes_at_the_data(tmp_path: Path) -> None:
    given = protocol('[search]\nnets = "some"\ndata = "photos"', tmp_path).searches[0]
    assert (given.nets, given.data) == (str(tmp_path / "some"), str(tmp_path / "photos"))
    own = protocol("[shapes]\ntrain = 40\nval = 8", tmp_path)
    assert own.searches[0].data == str(tmp_path / "data" / "shapes-40-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[search]\nsnipets = 5", ["unknown setting in [search] `snipets`", "did you mean `snippets`?"]),
        ("[vary]\nseeds = [1]", ["unknown setting in [vary] `seeds`", "`seed`"]),
        ("[search]\nxyzzy = 5", ["`xyzzy`", "known: llm, strategy"]),
        ("[serch]\nn = 5", ["unknown part `serch`", "`search`"]),
        ("[vary]", ["[vary] is empty"]),
        ("[vary]\nseed = []", ["[vary] seed is []"]),
        ("[vary]\nseed = 3", ["[vary] seed is 3", "list"]),
        ("vary = []", ["[vary] is empty"]),
        ("vary = 3", ["[vary] is 3"]),
        ("[vary]\nseed = [0, 1, 0]", ["seed=0 stands there twice"]),
        ('[search]\nllm = "a"\n[[vary]]\nseed = [1, 2]\n[[vary]]\nllm = ["a"]\nseed = [2]', ["llm=a seed=2", "twice"]),
        ('[search]\nn = "5"', ["[search] n is '5'", "whole number"]),
        ("[search]\nn = 2.5", ["[search] n is 2.5", "whole number"]),
        ("[search]\nn = true", ["[search] n is True"]),
        ("[vary]\nlr = ['much']", ["[vary] lr is 'much'", "a number"]),
        ("[search]\nllm = 7", ["[search] llm is 7", "a text"]),
        ("[vary]\nn = [1, 0]", ["n is 0"]),
        ("title = 3", ["title is 3"]),
        ("search = 3", ["[search] is 3"]),
        ("[shapes]\ntrain = 4", ["[shapes] lacks `val`"]),
        ("[shapes]\ntrain = 4\nval = 0", ["[shapes]", "an image or more"]),
        ("[shapes]\ntrain = 4\nval = 4\nsize = 3", ["`size`"]),
        ('[shapes]\ntrain = 4\nval = 4\n[search]\ndata = "x"', ["leave out `data`"]),
        ("title = ", ["is not TOML"]),
    ],
)
def test_a_wrong_file_is_one_line_that_names_what_is_wrong(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        protocol(text, tmp_path)
    assert "\n" not in str(caught.value)
    for word in ["file.toml", *words]:
        assert word in str(caught.value)


def test_the_command_names_a_file_that_is_none(tmp_path: Path) -> None:
    for name in ("missing.toml", "."):
        result = CliRunner().invoke(app, ["experiment", str(tmp_path / name), "--to", str(tmp_path / "out")])
        assert isinstance(result.exception, UsageError) and "cannot be read" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_the_files_that_come_along_are_the_papers_protocol(tmp_path: Path) -> None:
    found = {path.stem: read(path, tmp_path) for path in FILES}
    assert found.keys() >= {"paper", "paper-models", "paper-families", "pocket", "pocket-feedback"}
    both = {"CaptionLSTM", "CaptionTransformer"}
    for name in ("paper", "pocket"):
        assert {(s.baseline, s.snippets) for s in found[name].searches} == {(b, k) for b in both for k in (5, 10)}
    families = {(s.baseline, s.snippets) for s in found["paper-families"].searches}
    assert families == {(b, k) for b in both for k in (1, 5, 8, 10)}
    assert len({s.llm for s in found["paper-models"].searches}) == 3
    assert {s.strategy for s in found["pocket"].searches} == {"design", "blocks"}
    for name, one in found.items():
        assert one.title and one.text
        for settings in one.searches:
            assert (settings.epochs, settings.metric, settings.temperature) == (3, "bleu-4", 0.8)
            full = name.startswith("paper")
            assert (settings.dataset, settings.size) == (("coco-caption", "full") if full else ("shapes", "pocket"))
    feedback = found["pocket-feedback"].searches
    ways = {(s.llm, s.feedback) for s in feedback}
    assert ways == {(llm, feedback) for llm in ("smollm2", "random") for feedback in ("effects", "none")}
    assert len(feedback) == 5 * len(ways) and {s.seed for s in feedback} == set(range(5))


def test_the_documentation_names_every_setting() -> None:
    page = (REPOSITORY / "docs" / "experiments.md").read_text(encoding="utf-8")
    assert not [field.name for field in fields(Settings) if f"`{field.name}`" not in page]


@pytest.mark.parametrize(
    ("name", "value"),
    [("strategy", "magic"), ("feedback", "magic"), ("pruner", "axe"), ("llm", "oracle"), ("dataset", "cifar")],
)
def test_a_wrong_name_in_the_last_search_is_told_before_the_first(tmp_path: Path, name: str, value: str) -> None:
    good = {"strategy": "design", "feedback": "none", "pruner": "none", "llm": "random", "dataset": "shapes"}
    store = SimpleNamespace(materialize=lambda kind, name: None, net_source=lambda name: "")
    head = '[search]\nllm = "random"\n' if name != "llm" else ""
    with pytest.raises(UsageError, match=value):
        check(protocol(f'{head}[vary]\n{name} = ["{good[name]}", "{value}"]', tmp_path), store, "local")


# --- the folder -------------------------------------------------------------------------------------------------------


def test_a_search_is_found_by_its_settings_and_by_no_others(tmp_path: Path) -> None:
    mine, other = Settings(seed=1), Settings(seed=2)
    with Records.open(tmp_path) as records:
        book = Book(tmp_path / "out", tmp_path)
        run = records.start_run(mine.to_dict())
        foreign = records.start_run(other.to_dict())
        records.finish_run(foreign, "finished")
        book.add(run, mine)
        book.spent(run, 7.5)
        records.finish_run(run, "stopped")
        again = Book(tmp_path / "out", tmp_path)
        assert again.find(mine, records).id == run and again.seconds(run) == 7.5
        assert again.find(other, records) is None, "a run that this experiment did not make"
        older = {key: value for key, value in other.to_dict().items() if key != "pruner"}
        adopted = records.start_run(older)
        assert again.find(other, records).id == adopted, "killed before the book was written"
        with records.claim(adopted, "search"):
            assert again.find(other, records) is None, "a living process has it"
        records.save(adopted, -1, Candidate("CaptionLSTM", "hand-made", "class Net: ..."), "planned")
        assert again.find(other, records) is None, "somebody else's: it has begun"


def test_a_folder_that_is_not_this_experiments_is_refused(tmp_path: Path) -> None:
    Book(tmp_path / "out", tmp_path).add(1, Settings())
    with pytest.raises(UsageError, match="belongs to the root"):
        Book(tmp_path / "out", tmp_path / "elsewhere")
    for damage in ("{", "[]", '{"runs": {"one": 3}}', '{"runs": {"1": 3}}', "\xff"):
        (tmp_path / "out" / "experiment.json").write_text(damage, encoding="latin-1")
        with pytest.raises(UsageError, match="damaged"):
            Book(tmp_path / "out", tmp_path)
    with pytest.raises(UsageError, match="cannot be used"):
        Book(tmp_path / "out" / "experiment.json", tmp_path)


def test_finished_searches_are_skipped_and_begun_ones_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = protocol("[vary]\nseed = [0, 1, 2, 3]", tmp_path)
    store = SimpleNamespace(lemur=SimpleNamespace(root=tmp_path))
    watch = SimpleNamespace(stopped=False, begin=lambda *told: calls.append(told[:3]), event=lambda event: None)
    calls: list[object] = []

    @contextlib.contextmanager
    def opened(_, settings: Settings, resume: str | None, executor: str, workers: int, *, take_over: bool):
        with Records.open(tmp_path) as records:
            run = int(resume) if resume else records.start_run(settings.to_dict())

            def search() -> RunState:
                watch.stopped = run == 2 and resume is None
                state = RunState.STOPPED if watch.stopped else RunState.FINISHED
                records.finish_run(run, state)
                return state

            yield SimpleNamespace(run=run, ended=0, search=lambda report: SimpleNamespace(run=search))

    monkeypatch.setattr(session, "opened", opened)
    seeds = one.searches
    assert Experiment(one, store, Book(tmp_path / "out", tmp_path), watch).run() is False
    assert calls == [(1, seeds[0], 1), (2, seeds[1], 2)], "the interrupt of the second ends the experiment"
    calls.clear()
    watch.stopped = False
    assert Experiment(one, store, Book(tmp_path / "out", tmp_path), watch).run() is True
    assert calls == [(2, seeds[1], 2), (3, seeds[2], 3), (4, seeds[3], 4)]
    calls.clear()
    assert Experiment(one, store, Book(tmp_path / "out", tmp_path), watch).run() is True and not calls
    elsewhere = Experiment(one, store, Book(tmp_path / "other", tmp_path), watch)
    assert elsewhere.run() is True and len(calls) == 4, "another folder is another experiment"


def test_nothing_begins_after_an_interrupt(tmp_path: Path) -> None:
    store = SimpleNamespace(lemur=SimpleNamespace(root=tmp_path))
    watch = SimpleNamespace(stopped=True)
    one = protocol("[vary]\nseed = [0, 1]", tmp_path)
    assert Experiment(one, store, Book(tmp_path / "out", tmp_path), watch).run() is False
    assert not (tmp_path / "lemur-caption").exists()


def test_a_net_of_another_search_is_no_duplicate_and_one_of_lemurs_own_is(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    lemur = Lemur(tmp_path, tmp_path / "package")
    with contextlib.closing(sqlite3.connect(lemur.database)) as database, database:
        database.execute("CREATE TABLE nn (name, code)")
        database.execute("CREATE TABLE stat (nn, task)")
        for name in ("RESNETLSTM", "CaptionLSTM", "C5C-CaptionLSTM-1"):
            database.execute("INSERT INTO nn VALUES (?, 'class Net: ...')", (name,))
            database.execute("INSERT INTO stat VALUES (?, 'img-captioning')", (name,))
    with Records.open(tmp_path) as records:
        run = records.start_run(Settings().to_dict())
        for index, name in ((-1, "CaptionLSTM"), (0, "C5C-CaptionLSTM-1")):
            records.save(run, index, Candidate(name, "", "class Net: ..."), "planned")
    assert [name for name, _ in ApartStore(lemur).captioning_nets()] == ["CaptionLSTM", "RESNETLSTM"]


# --- the summary ------------------------------------------------------------------------------------------------------


def test_a_row_sums_up_the_seeds_of_a_combination(tmp_path: Path) -> None:
    one = protocol('title = "T | <b>"\n[vary]\nsnippets = [5, 10]\nseed = [0, 1, 2]\nlr = [1e-5]', tmp_path)
    base = {"A": 0.4, "B": 0.2}
    made = {
        one.searches[0]: Found(4, 3, [0.2, 0.3, 0.5], base, 10.0),
        one.searches[1]: Found(4, 1, [0.3], base, 20.0),
        one.searches[2]: Found(4, 0, [], base, 60.0),
    }
    first, second = summary(one, made).rows
    assert (first["snippets"], first["lr"], "seed" in first) == (5, "1e-05", False)
    assert (first["planned"], first["searches"], first["asked"], first["trained"]) == (3, 3, 12, 4)
    assert first["best"] == pytest.approx(0.4) and first["best_sd"] == pytest.approx(0.02**0.5)
    assert (first["best_min"], first["best_max"], first["median"]) == (0.3, 0.5, pytest.approx(0.3))
    assert first["over_A"] == pytest.approx(1.0) and first["over_B"] == pytest.approx(2.0)
    assert first["wins"] == 1 and first["seconds"] == pytest.approx(30.0)
    assert (second["planned"], second["searches"], second["best"], second["median"]) == (3, 0, None, None)
    for_people = compact(summary(one, made)).rows[0]
    assert (for_people["searches"], for_people["trained"], for_people["wins"]) == ("3 of 3", "4 of 12", "1 of 3")
    assert (for_people["best"], for_people["range"]) == ("0.4000 ± 0.1414", "0.3000, 0.5000")


def test_the_figures_of_a_search_come_from_its_records(tmp_path: Path) -> None:
    with Records.open(tmp_path) as records:
        run = records.start_run(Settings(n=4, epochs=2).to_dict())
        for index, scores, outcome in [
            *((-2, [0.1, 0.2], "trained"), (-1, [0.3, 0.1], "trained"), (0, [0.5, 0.15], "trained")),
            *((1, [0.1, 0.4], "improved"), (2, [0.9], "trained"), (3, [], "no_code")),
        ]:
            net = Candidate(f"Net{index}", "C5C-CaptionLSTM", "class Net: ...")
            net.epochs = [Epoch(n, score, 1.0, 1.0, 1.0) for n, score in enumerate(scores, 1)]
            net.end(Outcome(outcome))
            records.save(run, index, net, "ended")
        records.finish_run(run, "finished")
        source = read_runs(records, [run])
    one = found(source.runs[0], 9.0)
    # The third has one epoch of two, and compares with nobody.
    assert (one.asked, one.trained, one.scores) == (4, 3, [0.15, 0.4])
    assert one.baselines == {"Net-2": 0.2, "Net-1": 0.1} and one.wins and one.ratio("Net-1") == pytest.approx(4.0)
    page = protocol('title = "T | <b>"\ntext = "Why?"', tmp_path)
    text = markdown(page, summary(page, {page.searches[0]: one}), source, "today")
    assert "<b>" not in text and "Made today from the runs 1." in text and "Why?" in text
    assert "shapes, bleu-4, 2 epochs" in text and "python" in text


# --- the command ------------------------------------------------------------------------------------------------------


def finished_run(records: Records, settings: Settings) -> int:
    """A run as a search leaves it, of two baselines and one Net."""
    run = records.start_run(settings.to_dict())
    for index, score in ((-2, 0.1), (-1, 0.2), (0, 0.4)):
        net = Candidate(f"C2C-Net{index}", "C2C-CaptionLSTM", "class Net: ...")
        net.finish(Outcome.TRAINED, "", [Epoch(1, score, 1.0, 1.0, 1.0)])
        records.save(run, index, net, "ended")
    records.finish_run(run, "finished")
    return run


@pytest.mark.slow
def test_a_killed_experiment_goes_on_and_makes_nothing_twice(run: Run, lemur_python: Path, tmp_path: Path) -> None:
    file, out, root = tmp_path / "small.toml", tmp_path / "out", tmp_path / "root"
    file.write_text(
        '[shapes]\ntrain = 32\nval = 8\n[search]\nllm = "random"\nfeedback = "none"\nn = 2\nepochs = 1\n'
        "[vary]\nsnippets = [1, 2]\n",
        encoding="utf-8",
    )
    root.mkdir()
    with Records.open(root) as records:
        second = read(file, root / "data").searches[1]
        Book(out, root).add(finished_run(records, second), second)
    arguments = ["experiment", file, "--to", out, "--root", root, "--offline", "--workers", "1"]
    command = [lemur_python, "-m", "lemur_caption", *map(str, arguments)]
    killed = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    assert killed.stderr is not None
    # On one worker the baselines train in their order, the one to start from first.
    for line in killed.stderr:
        if "CaptionTransformer: trained" in line:
            break
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    with Records.open(root) as records:
        assert [(one.id, one.state.value) for one in records.runs()] == [(1, "finished"), (2, "finished")]
        entries = records.entries(2)
    assert [(entry.index, entry.trails) for entry in entries] == [(-2, 1), (-1, 1), (0, 1), (1, 1)]
    assert all(entry.candidate.outcome and entry.candidate.outcome.success for entry in entries)
    assert "search 1 of 2, run 2: snippets=1" in done.stderr and "search 2" not in done.stderr
    told = json.loads(done.stdout)
    first, other = told["summary"]["rows"]
    assert (first["snippets"], first["searches"], first["asked"], first["trained"]) == (1, 1, 2, 2)
    assert first["best"] is not None and first["seconds"] > 0 and other["best"] == 0.4
    assert set(told["runs"]) == {"1", "2"}
    assert {path.name for path in out.iterdir()} == {
        *("experiment.json", "report.html", "report.md", "summary.md", "summary.csv", "csv"),
    }
    assert "<table" in (out / "report.html").read_text(encoding="utf-8") and (out / "csv" / "nets.csv").exists()
