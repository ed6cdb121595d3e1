"""A disk that fills: the stores stay whole, the search says what to do, and goes on once there is room.

RLIMIT_FSIZE stands for the disk: what would make a file longer fails, in the search and in all that it starts.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from lemur_caption.architecture import random_design
from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.search.records import Records, State

N = 2
# `lemur-caption` on a disk that has room for a trial's own empty LEMUR, but not for a whole run's records.
LIMITED = """
import resource, sys
from pathlib import Path
from lemur_caption.cli import main
from lemur_caption.lemur.store import Store

size = Store.open(Path(sys.argv[sys.argv.index("--root") + 1]), offline=True).lemur.database.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, size + 8192))
main()
"""
LEMUR_ALONE = """
import json, resource, sqlite3, sys
from lemur_caption.errors import StoreError
from lemur_caption.lemur.store import Store

store = Store.open(sys.argv[1], offline=True)
prm = {"uid": "0", "lr": 0.001, "momentum": 0.9, "batch": 32, "transform": "norm_64", "epoch": 1, "accuracy": 0.1,
       "time": 1, "train_stat": {"train_loss": 2.0}}
source = "class Net: ...\\n"
store.save_epoch("Before", source, "shapes", "bleu-4", 1, prm)
limit = store.lemur.database.stat().st_size + 4096
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    store.save_epoch("Large", source * 100_000, "shapes", "bleu-4", 1, prm)
except StoreError as error:
    said = str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with sqlite3.connect(store.lemur.database) as connection:
    whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
    left = [name for (name,) in connection.execute("SELECT nn FROM stat UNION SELECT name FROM nn WHERE name = 'Large'")]
store.save_epoch("Large", source * 100_000, "shapes", "bleu-4", 1, prm)
print(json.dumps([said, whole, left, store.has_epoch("Large", "shapes", "bleu-4", 1, prm)]))
"""


def call(*command: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment, timeout=600)


def whole(path: Path) -> bool:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.slow
def test_a_search_stops_cleanly_and_goes_on_when_there_is_room(lemur_python, tmp_path):
    root, answers = tmp_path / "root", tmp_path / "answers"
    render_shapes(tmp_path / "data", train=16, val=8)
    answers.mkdir()
    rng = random.Random(5)
    for number in range(N):
        (answers / f"{number}.txt").write_text(random_design(rng).model_dump_json(), encoding="utf-8")
    databases = root / "db" / "ab.nn.db", root / "lemur-caption" / "records.db"
    arguments = [
        *("search", "--offline", "--json", "--strategy", "design", "--llm", f"replay:{answers}", "--root", str(root)),
        *("--data", str(tmp_path / "data"), "--workers", "1", "--snippets", "1", "--n", str(N), "--epochs", "1"),
    ]

    stopped = call(lemur_python, "-c", LIMITED, *arguments)
    assert stopped.returncode == 1, stopped.stdout[-500:] + stopped.stderr[-2000:]
    message = stopped.stderr.splitlines()[-1]
    assert message.startswith("error: ") and "free some" in message, message
    assert "Traceback" not in stopped.stderr
    assert all(map(whole, databases))
    with Records.open(root) as records:
        before = {entry.index: entry for entry in records.entries(1)}
    assert before, "the disk was full before anything was on record"
    assert any(entry.state is not State.ENDED for entry in before.values()) or len(before) < N + 2

    resumed = call(lemur_python, "-m", "lemur_caption", *arguments, "--resume", "last")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert json.loads(resumed.stdout)["state"] == "finished"
    assert all(map(whole, databases))
    with Records.open(root) as records:
        after = {entry.index: entry for entry in records.entries(1)}
    assert sorted(after) == [-2, -1, *range(N)]
    assert all(entry.state is State.ENDED for entry in after.values())
    ended = {index: entry for index, entry in before.items() if entry.state is State.ENDED}
    assert {index: after[index] for index in ended} == ended, "what had ended is not to be trained again"
    with sqlite3.connect(databases[0]) as connection:
        rows = Counter(connection.execute("SELECT nn, epoch FROM stat"))
    assert rows == {
        (entry.candidate.name, epoch.epoch): 1 for entry in after.values() for epoch in entry.candidate.epochs
    }


def test_an_epoch_that_lemurs_database_has_no_room_for_leaves_nothing_behind(lemur_python, tmp_path):
    done = call(lemur_python, "-c", LEMUR_ALONE, tmp_path / "root")
    assert done.returncode == 0, done.stderr[-2000:]
    said, whole, left, stored_later = json.loads(done.stdout.splitlines()[-1])
    assert said.startswith("epoch 1 of Large could not be stored in ") and "free some disk space" in said
    assert (whole, left) == ("ok", ["Before"])
    assert stored_later
