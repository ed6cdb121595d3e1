"""The records: every candidate comes back as it was saved, whoever else writes, is killed, or fills the disk."""

from __future__ import annotations

import copy
import math
import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import REPOSITORY
from lemur_caption.candidate import Candidate, Epoch, Outcome, Repair, SourcePass
from lemur_caption.contract import Finding
from lemur_caption.errors import StoreError, UsageError
from lemur_caption.search.records import Records, RunState, State, database_path
from lemur_caption.search.records.migrations import MIGRATIONS
from lemur_caption.search.records.runs import versions

SETTINGS = {"llm": "smollm2", "strategy": "design", "n": 4, "dataset": "shapes", "metric": "bleu-4", "seed": 0}


@pytest.fixture
def records(tmp_path: Path):
    with Records.open(tmp_path) as opened:
        yield opened


def trained(name: str = "C5C-A-1", scores: tuple[float, ...] = (0.1, 0.2)) -> Candidate:
    epochs = [Epoch(i, score, 3.0 / i, 2.0 / i, 1.5, {"uid": f"{name}{i}"}) for i, score in enumerate(scores, 1)]
    return Candidate(name, "C5C-A", f"class Net: '{name}'\n", outcome=Outcome.TRAINED, epochs=epochs)


def check(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


# --- there and back --------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["\0", "a\0b", "é\n\r\n", "[/x]"]
)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBER | TEXT, max_size=3)
FINDINGS = st.lists(st.builds(Finding.to_dict, st.builds(Finding, TEXT, TEXT, TEXT)) | JSON, max_size=3)
PASSES = st.lists(st.builds(SourcePass, TEXT, TEXT, TEXT), max_size=3)
REPAIR = st.builds(Repair, TEXT, FINDINGS, response=TEXT, passes=PASSES, source=TEXT, note=TEXT)
LOSS = st.none() | NUMBER
EPOCH = st.builds(Epoch, st.integers(1, 99), NUMBER, LOSS, LOSS, NUMBER, prm=JSON)
CANDIDATE = st.builds(
    Candidate,
    name=TEXT,
    family=TEXT,
    source=TEXT,
    model=TEXT,
    seed=st.integers(0, 2**31),
    strategy=TEXT,
    temperature=NUMBER,
    parents=st.lists(TEXT, max_size=3),
    design=st.none() | JSON,
    snippets=st.lists(TEXT, max_size=3),
    prompt=TEXT,
    dropped=st.lists(TEXT, max_size=2),
    response=TEXT,
    passes=PASSES,
    repairs=st.lists(REPAIR, max_size=3),
    outcome=st.none() | st.sampled_from(Outcome),
    detail=TEXT,
    findings=FINDINGS,
    fingerprint=st.none() | TEXT,
    parameters=st.none() | st.integers(0, 2**40),
    flops=st.none() | st.integers(0, 2**60),
    parts=st.none() | JSON,
    epochs=st.lists(EPOCH, max_size=3),
    prompt_tokens=st.integers(0, 2**31),
    answer_tokens=st.integers(0, 2**31),
    seconds=st.dictionaries(TEXT, NUMBER, max_size=3),
)


def test_every_field_is_recorded() -> None:
    """A field that the strategy above does not know would always have its default, and nobody would see it get lost."""
    known = {"name", "family", "source", "model", "seed", "strategy", "temperature", "parents", "design", "snippets"}
    known |= {"prompt", "dropped", "response", "passes", "repairs", "outcome", "detail", "findings", "parameters"}
    known |= {"fingerprint", "flops", "parts"}
    known |= {"epochs", "prompt_tokens", "answer_tokens", "seconds"}
    assert set(Candidate.__dataclass_fields__) == known
    assert set(Epoch.__dataclass_fields__) == {"epoch", "accuracy", "train_loss", "test_loss", "seconds", "prm"}


def test_candidates_come_back_exactly(records: Records) -> None:
    run = records.start_run(SETTINGS)

    @settings(max_examples=80, deadline=None, derandomize=True, database=None)
    @given(CANDIDATE, CANDIDATE)
    def round_trip(first: Candidate, second: Candidate) -> None:
        index = len(records.states(run))
        for candidate in (first, second, second):
            records.save(run, index, candidate, State.CHECKED)
            read = records.candidate(f"{run}/{index}").candidate
            assert read.to_dict() == candidate.to_dict()

    round_trip()
    check(records.path)


def test_numbers_that_are_not_finite_become_none_and_half_a_surrogate_pair_its_escape(records: Records) -> None:
    run = records.start_run({"budget": math.inf})
    epoch = Epoch(1, 0.5, math.nan, math.inf, 1.0, {"train_stat": {"gradient_norm": [math.nan, 1.0]}})
    records.save(run, 0, Candidate("N", "F", "x\ud800", detail="\udcff", epochs=[epoch]), "training")
    read = records.candidate("N").candidate
    assert (read.source, read.detail) == ("x\\ud800", "\\udcff")
    assert read.epochs == [Epoch(1, 0.5, None, None, 1.0, {"train_stat": {"gradient_norm": [None, 1.0]}})]
    assert records.run(run).settings == {"budget": None}


def test_quality_and_samples_are_kept_beside_the_candidate(records: Records) -> None:
    run = records.start_run(SETTINGS)
    samples = [{"image": "1.jpg", "caption": "a cat", "reference": "a dog"}]
    records.save(run, 0, trained(), "ended", quality=7.5, samples=samples)
    records.save(run, 0, trained(), "ended")
    entry = records.candidate("1/0")
    assert (entry.quality, entry.samples, entry.trails) == (7.5, samples, 1)


# --- saving ----------------------------------------------------------------------------------------------------------


def test_a_candidate_grows_from_planned_to_ended_in_one_trail(records: Records) -> None:
    run = records.start_run(SETTINGS)
    candidate = Candidate("F-candidate3", "F", "", prompt="build")
    records.save(run, 3, candidate, State.PLANNED)
    candidate.response = candidate.source = "first"
    candidate.passes = [SourcePass("extraction", "first")]
    candidate.findings = [{"rule": "LC111"}]
    records.save(run, 3, candidate, State.ANSWERED)
    candidate.repairs = [
        Repair("mend", candidate.findings, source="second", passes=[SourcePass("extraction", "second")])
    ]
    candidate.source, candidate.findings, candidate.name = "second", [], "F-2"
    records.save(run, 3, candidate, State.CHECKED)
    for scores in ((0.1,), (0.1, 0.2)):
        candidate.epochs = trained(scores=scores).epochs
        records.save(run, 3, candidate, State.TRAINING)
    candidate.end(Outcome.IMPROVED)
    records.save(run, 3, candidate, State.ENDED)
    assert records.candidates(run) == [(3, State.ENDED, candidate)]
    assert records.candidate("F-2").trails == 1 and records.states(run) == {3: State.ENDED}


@pytest.mark.parametrize("change", ["response", "epochs", "findings", "source"])
def test_what_was_saved_stays_when_a_candidate_is_begun_anew(records: Records, change: str) -> None:
    run = records.start_run(SETTINGS)
    old = trained()
    old.outcome, old.response, old.findings = None, "an answer", [{"rule": "LC111"}, {"rule": "LC112"}]
    new = copy.deepcopy(old)
    if change == "response":
        new.response = "another answer"
    elif change == "source":
        new.source = "another source"
    else:
        setattr(new, change, getattr(new, change)[:1])
    records.save(run, 0, old, "training", quality=1.0)
    records.save(run, 0, new, "training")
    entry = records.candidate("1/0")
    assert entry.candidate == new and entry.trails == 2 and entry.quality is None
    with sqlite3.connect(records.path) as connection:
        (first, _) = connection.execute("SELECT response, source FROM trail ORDER BY id").fetchall()
        counts = [
            [count for (count,) in connection.execute(f"SELECT COUNT(*) FROM {table} GROUP BY trail ORDER BY trail")]
            for table in ("epoch", "finding")
        ]
    assert first == (old.response, old.source)
    assert counts == [[2, len(new.epochs)], [2, len(new.findings)]]


@pytest.mark.parametrize("outcome", [None, Outcome.DIVERGED, Outcome.IMPROVED])
def test_an_ended_candidate_keeps_its_outcome(records: Records, outcome: Outcome | None) -> None:
    run = records.start_run(SETTINGS)
    records.save(run, 0, trained(), "ended")
    changed = trained()
    changed.outcome = outcome
    with pytest.raises(StoreError, match="1/0 has ended as trained and cannot become"):
        records.save(run, 0, changed, "ended" if outcome else "training")
    with pytest.raises(StoreError, match="cannot become training"):
        records.save(run, 0, trained(), "training")
    records.save(run, 0, trained(), "ended")
    assert records.candidates(run) == [(0, State.ENDED, trained())]


def test_a_candidate_without_an_outcome_cannot_end(records: Records) -> None:
    run = records.start_run(SETTINGS)
    with pytest.raises(ValueError, match="1/0 cannot end without an outcome"):
        records.save(run, 0, Candidate("N", "F", ""), "ended")
    with pytest.raises(ValueError, match="nonsense"):
        records.save(run, 0, trained(), "nonsense")
    assert records.states(run) == {}


def test_a_save_that_fails_in_the_middle_leaves_nothing(records: Records) -> None:
    run = records.start_run(SETTINGS)
    records.save(run, 0, Candidate("N", "F", ""), "planned")
    broken = trained()
    broken.epochs[1].accuracy = math.nan
    with pytest.raises(StoreError, match="accuracy"):
        records.save(run, 0, broken, "ended")
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        records.save(99, 0, trained(), "ended")
    with pytest.raises(StoreError, match="too large"):
        records.save(run, 0, Candidate("N", "F", "", seed=2**70), "planned")
    assert records.candidates(run) == [(0, State.PLANNED, Candidate("N", "F", ""))]


def test_parents_point_to_their_candidates(records: Records) -> None:
    run = records.start_run(SETTINGS)
    records.save(run, 0, trained("A"), "ended")
    child = trained("B")
    child.parents = ["CaptionLSTM", "A"]
    records.save(run, 1, child, "ended")
    with sqlite3.connect(records.path) as connection:
        query = (
            "SELECT parent.name, number FROM parent LEFT JOIN candidate ON candidate.id = parent.candidate ORDER BY 1"
        )
        assert connection.execute(query).fetchall() == [("A", 0), ("CaptionLSTM", None)]


# --- runs and queries ------------------------------------------------------------------------------------------------


def test_a_run_keeps_settings_versions_and_how_it_ended(records: Records) -> None:
    first, second = records.start_run(SETTINGS), records.start_run(SETTINGS | {"seed": 1})
    for index, scores in enumerate([(0.3, 0.1), (0.1, 0.2)]):
        records.save(first, index, trained(f"N{index}", scores), "ended")
    records.save(first, 2, Candidate("N2", "F", "", outcome=Outcome.NO_CODE), "ended")
    diverged = trained("N3", (0.9,))
    diverged.outcome = Outcome.DIVERGED
    records.save(first, 3, diverged, "ended")
    assert records.latest_unfinished().id == second
    records.finish_run(second, "finished")
    run = records.latest_unfinished()
    assert (run.id, run.state, run.ended, run.settings) == (first, RunState.RUNNING, None, SETTINGS)
    assert (run.candidates, run.trained, run.best) == (4, 2, 0.2)
    assert {"python", "platform", "torch", "transformers", "nn-dataset", "lemur-caption", "devices"} <= set(
        run.versions
    )
    assert run.versions["devices"] and run.versions == versions()
    records.finish_run(first, RunState.STOPPED)
    assert records.run(first).ended and records.latest_unfinished().state is RunState.STOPPED
    records.finish_run(first, RunState.FINISHED)
    assert records.latest_unfinished() is None and [run.id for run in records.runs()] == [first, second]


@pytest.mark.parametrize(
    "call",
    [
        lambda records: records.run(7),
        lambda records: records.finish_run(7, "finished"),
        lambda records: records.candidate("1/0"),
        lambda records: records.candidate("Nonsense"),
        lambda records: records.start_run({"path": object()}),
        lambda records: records.claim(7).__enter__(),
    ],
)
def test_unknown_names_are_usage_errors(records: Records, call) -> None:
    with pytest.raises(UsageError):
        call(records)


def test_candidates_are_found_by_state_and_by_name(records: Records) -> None:
    first, second = records.start_run(SETTINGS), records.start_run(SETTINGS)
    records.save(first, 0, trained("A"), "ended")
    records.save(second, 0, trained("A"), "ended")
    begun = trained("B", (0.1,))
    begun.outcome = None
    records.save(second, 1, begun, "training")
    records.save(second, 2, Candidate("F-candidate2", "F", ""), "planned")
    assert records.candidates(second, "training") == [(1, State.TRAINING, begun)]
    assert records.candidate("A").run == second, "of two candidates of one name the younger is meant"


def test_the_database_lies_where_lemurs_users_do_not_delete(tmp_path: Path, records: Records) -> None:
    inside = records.path.relative_to(tmp_path)
    assert inside == Path("lemur-caption/records.db") and records.path.exists()
    assert not {"db", "data", "out"} & set(inside.parts)


# --- one worker a run ------------------------------------------------------------------------------------------------


def test_a_living_process_keeps_its_claim(records: Records) -> None:
    run = records.start_run(SETTINGS)
    with records.claim(run, "search"):
        with (
            pytest.raises(StoreError, match=rf"process {os.getpid()} on .*search.* works on run {run}"),
            records.claim(run),
        ):
            pass
        with records.claim(records.start_run(SETTINGS)):
            assert records.holder(run).alive
    assert records.holder(run) is None
    records.finish_run(run, "stopped")
    with records.claim(run):
        assert records.run(run).state is RunState.RUNNING


def test_the_claim_of_a_dead_process_is_taken_over_and_one_of_another_host_with_force(records: Records) -> None:
    run = records.start_run(SETTINGS)
    program = "import os, sys; from pathlib import Path; from lemur_caption.search.records import Records\n"
    program += f"with Records.open(Path(sys.argv[1])).claim({run}, 'killed'): os.kill(os.getpid(), 9)"
    child = subprocess.run([sys.executable, "-c", program, records.path.parent.parent])
    assert child.returncode == -signal.SIGKILL
    held = records.holder(run)
    assert held.owner == "killed" and not held.alive
    with records.claim(run, "heir"):
        assert records.holder(run).owner == "heir"
    with sqlite3.connect(records.path) as connection:
        connection.execute("UPDATE claim SET released = NULL, host = 'elsewhere' WHERE owner = 'killed'")
    with pytest.raises(StoreError, match=r"elsewhere.*--take-over"), records.claim(run):
        pass
    with records.claim(run, "forced", force=True):
        assert records.holder(run).owner == "forced"


def test_a_process_number_that_was_given_again_is_not_taken_for_the_old_process(records: Records) -> None:
    run = records.start_run(SETTINGS)
    with records.claim(run, "first"):
        with sqlite3.connect(records.path) as connection:
            connection.execute("UPDATE claim SET process_started = process_started - 60")
        with records.claim(run, "second"):
            assert records.holder(run).owner == "second"


# --- many at once ----------------------------------------------------------------------------------------------------


def test_eight_processes_on_cold_records_lose_nothing_of_theirs_or_of_lemurs(lemur_python: Path) -> None:
    script = REPOSITORY / "benchmarks" / "records_stress.py"
    if not script.exists():
        pytest.skip("benchmarks/ is not part of this distribution")
    ran = subprocess.run([lemur_python, script, "--seconds", "2"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for store in ("records", "LEMUR"):
        (line,) = (line for line in ran.stdout.splitlines() if line.startswith(f"{store}: "))
        assert ", 0 lost or different, 0 that nobody saved, integrity ok" in line, line
    assert ", 0 dangling" in ran.stdout


def test_threads_share_one_connection(records: Records) -> None:
    run = records.start_run(SETTINGS)

    def work(worker: int) -> None:
        for number in range(10):
            records.save(run, 10 * worker + number, trained(f"{worker}-{number}"), "ended")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records.candidates(run) == [
        (i, State.ENDED, trained(f"{i // 10}-{i % 10}")) for i in range(40)
    ]  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_a_forked_child_and_its_parent_both_go_on(records: Records) -> None:
    run = records.start_run(SETTINGS)

    def go_on() -> None:
        # SQLite's locks do not pass a fork: a child that inherits an open connection can damage the file.
        assert not [link for link in Path("/proc/self/fd").iterdir() if str(records.path) in str(link.resolve())]
        records.save(run, 0, trained("child"), "ended")

    child = multiprocessing.get_context("fork").Process(target=go_on)
    child.start()
    records.save(run, 1, trained("parent"), "ended")
    child.join()
    assert child.exitcode == 0
    assert [candidate.name for _, _, candidate in records.candidates(run)] == ["child", "parent"]
    check(records.path)


def test_a_save_waits_for_its_turn(records: Records) -> None:
    run = records.start_run(SETTINGS)
    other = sqlite3.connect(records.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    saving = threading.Thread(target=records.save, args=(run, 0, trained(), "ended"))
    saving.start()
    time.sleep(0.2)
    assert saving.is_alive()
    other.execute("ROLLBACK")
    saving.join()
    assert records.states(run) == {0: State.ENDED}
    other.close()


# --- what goes wrong -------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from lemur_caption.candidate import Candidate, Epoch, Outcome
from lemur_caption.search.records import Records
records = Records.open(Path(sys.argv[1]))
for index in range(int(sys.argv[2]), 1_000_000):
    epochs = [Epoch(n, 0.5, 1.0, 1.0, 1.0, {"uid": str(n)}) for n in range(30)]
    records.save(1, index, Candidate(str(index), "F", "x" * 20_000), "planned")
    records.save(1, index, Candidate(str(index), "F", "x" * 20_000, outcome=Outcome.TRAINED, epochs=epochs), "ended")
    print(index, flush=True)
"""


def test_a_kill_at_any_moment_leaves_each_candidate_whole_or_absent(records: Records) -> None:
    records.start_run(SETTINGS)
    moments = random.Random(0)
    confirmed: set[int] = set()
    for attempt in range(10):
        command = [sys.executable, "-c", WRITER, str(records.path.parent.parent), str(attempt * 1000)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        confirmed.add(int(child.stdout.readline()))
        time.sleep(moments.uniform(0, 0.05))
        child.kill()
        confirmed |= {int(line) for line in child.communicate()[0].splitlines() if line}
        check(records.path)
    found = {index: (state, candidate) for index, state, candidate in records.candidates(1)}
    assert all(found[index][0] is State.ENDED for index in confirmed)
    assert len(set(found) - confirmed) <= 10, "at most one a kill is saved and not confirmed"
    for state, candidate in found.values():
        assert (len(candidate.epochs), candidate.outcome is None) == (
            (30, False) if state is State.ENDED else (0, True)
        )


def test_a_full_disk_is_one_line_and_old_rows_stay(records: Records) -> None:
    run = records.start_run(SETTINGS)
    records.save(run, 0, trained(), "ended")

    limit = 600_000

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-c", WRITER, str(records.path.parent.parent), "1"]
    child = subprocess.run(command, preexec_fn=fill, capture_output=True, text=True)
    message = child.stderr.strip().splitlines()[-1]
    assert message.startswith("lemur_caption.errors.StoreError: the records ") and "free some space" in message
    records.close()
    check(records.path)
    saved = {index for index, state in records.states(run).items() if state is State.ENDED}
    assert saved >= {0, *map(int, child.stdout.split())} and len(saved) > 2
    assert records.candidate("1/0").candidate == trained()
    records.save(run, 1_000_000, trained("after"), "ended")


def test_a_database_that_may_not_be_written_is_one_line() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Records.open(root) as records:
            records.start_run(SETTINGS)
        for path in (root, root / "lemur-caption", records.path):
            path.chmod(0o555)
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.close(reading)
            if os.getuid() == 0:
                os.setuid(65534)  # root may write whatever the mode says
            try:
                Records.open(root).start_run(SETTINGS)
                message = "written"
            except StoreError as error:
                message = str(error)
            os.write(writing, message.encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            message = pipe.read()
        for path in (root, root / "lemur-caption"):
            path.chmod(0o755)
        assert "writable" in message and str(records.path) in message and "\n" not in message


@pytest.mark.parametrize("kind", ["text", "torn", "foreign", "newer", "folder"])
def test_a_file_that_is_not_ours_is_one_line_and_stays(tmp_path: Path, kind: str) -> None:
    path = database_path(tmp_path)
    path.parent.mkdir()
    words = {"text": "not a database", "torn": "malformed", "foreign": "another program", "newer": "m999_future"}
    if kind == "text":
        path.write_text("these are no records\n" * 100, encoding="utf-8")
    elif kind == "foreign":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE run (id INTEGER)")
    elif kind == "folder":
        path.mkdir()
    else:
        with Records.open(tmp_path) as records:
            run = records.start_run(SETTINGS)
            for index in range(20):
                records.save(run, index, trained(), "ended")
        if kind == "torn":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            with sqlite3.connect(path) as connection:
                connection.execute("INSERT INTO migration VALUES ('m999_future', '', '')")
    before = None if kind == "folder" else path.read_bytes()
    expected = words.get(kind, "unable to open")
    with pytest.raises(StoreError, match=expected) as caught, Records.open(tmp_path) as records:
        records.entries(1)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert before is None or path.read_bytes() == before


def test_a_root_that_cannot_hold_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "lemur-caption").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be made"):
        Records.open(tmp_path)


def test_an_older_database_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        # Undone in the opposite order, so that the migrations keep theirs.
        for name in reversed(list(MIGRATIONS)[1:]):
            patch.delitem(MIGRATIONS, name)
        # What an older lemur-caption could have saved: a run, and nothing that it had no table for.
        with Records.open(tmp_path) as old, sqlite3.connect(old.path) as connection:
            connection.execute("INSERT INTO run VALUES (1, '{}', '{}', '2026-01-01', NULL, 'running')")
    with Records.open(tmp_path) as new:
        new.save(1, 0, trained(), "ended")
        assert new.run(1).trained == 1
    with sqlite3.connect(new.path) as connection:
        rows = connection.execute("SELECT name, lemur_caption FROM migration ORDER BY name").fetchall()
    assert [name for name, _ in rows] == list(MIGRATIONS) and all(version for _, version in rows)


def test_records_from_before_flops_gain_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        for later in ("m003_structure", "m004_fingerprint"):
            patch.delitem(MIGRATIONS, later)
        with Records.open(tmp_path) as old, sqlite3.connect(old.path) as connection:
            connection.execute("INSERT INTO run VALUES (1, '{}', '{}', '2026-01-01', NULL, 'running')")
            connection.execute("INSERT INTO candidate VALUES (1, 1, 0, 'ended')")
            connection.execute(
                "INSERT INTO trail VALUES (1, 1, '2026-01-01', 'N', 'F', 'x', '', 0, '', 0, NULL, '[]', '', '[]', '', "
                "'trained', '', 5, 0, 0, '{}', 1.0, '[]')"
            )
    with Records.open(tmp_path) as new:
        before = new.candidate("N").candidate
        assert (before.parameters, before.flops, before.parts) == (5, None, None)
        after = trained()
        after.flops, after.parts = 2**40, {"encoder": "residual", "layers": 2}
        new.save(1, 1, after, "ended")
        read = new.candidate("1/1").candidate
    assert (read.flops, read.parts) == (2**40, {"encoder": "residual", "layers": 2})
