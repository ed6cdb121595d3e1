"""A search on a real Ray cluster of two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from lemur_caption.architecture import random_design
from lemur_caption.dataset.shapes import render_shapes
from lemur_caption.errors import UsageError
from lemur_caption.search.executors import ray_cluster
from lemur_caption.search.records import Records

pytest.importorskip("ray", reason="the extra [ray] is not installed")

N, EPOCHS = 3, 2
PROGRAM = """
import json, sys
import ray
from ray.cluster_utils import Cluster

cluster = Cluster()
cluster.add_node(wait=False, num_cpus=1, include_dashboard=False)
other = cluster.add_node(wait=False, num_cpus=1)
cluster.wait_for_nodes(timeout=180)  # by itself each waits for half a minute, which a busy machine may need
ray.init(address=cluster.address, log_to_driver=False)

from lemur_caption.errors import UsageError
from lemur_caption.lemur.store import Store
from lemur_caption.lemur.trial import TrialJob
from lemur_caption.search import session
from lemur_caption.search.executors import Task
from lemur_caption.search.executors.ray_cluster import RayExecutor
from lemur_caption.search.settings import Settings

store, settings = Store.open(sys.argv[1], offline=True), Settings.from_dict(json.loads(sys.argv[2]))
told = []

def report(event):
    if event.kind == "epoch":
        # Both nodes train a baseline now, and neither trial can end before this returns.
        if not told:
            cluster.remove_node(other, allow_graceful=False)
        told.append([event.index, event.epoch.epoch])

with session.opened(store, settings, None, "ray", 0) as opened:
    executor = opened.parts.executor
    state = opened.search(report).run()

    def trial(source, stop):
        job = TrialJob(source, "shapes", "bleu-4", "norm_64", epochs=2, threads=1)
        task = Task("Net", job, opened.parts.data, 300.0)
        result = executor.submit(task, lambda epoch: stop).result(timeout=300)
        return [result.outcome.value, len(result.epochs)]

    stopped, failed = trial(store.net_source("CaptionLSTM"), True), trial("class Net: pass", False)
    workers = executor.workers
try:
    RayExecutor(threads=2)
except UsageError as error:
    refused = str(error)
with open(sys.argv[3], "w") as result:  # stdout is Ray's, which tells of the dead node whenever it notices
    json.dump([state.value, workers, told, stopped, failed, refused], result)
ray.shutdown()
cluster.shutdown()
"""


def call(*command: object) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "RAY_DEDUP_LOGS": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


def recorded(root: Path) -> dict[int, tuple[object, ...]]:
    """What the run has recorded of each candidate, but for times."""
    with Records.open(root) as records:
        return {
            index: (state, made.name, made.outcome, [(e.accuracy, e.train_loss, e.test_loss) for e in made.epochs])
            for index, state, made in records.candidates(1)
        }


@pytest.mark.slow
def test_a_cluster_searches_as_this_machine_does_and_a_dead_node_loses_nothing(lemur_python, tmp_path: Path):
    data, answers = tmp_path / "data", tmp_path / "answers"
    render_shapes(data, train=32, val=8)
    answers.mkdir()
    rng = random.Random(3)
    for number in range(N):
        (answers / f"{number}.txt").write_text(random_design(rng).model_dump_json(), encoding="utf-8")
    settings = {"llm": f"replay:{answers}", "data": str(data), "n": N, "epochs": EPOCHS, "snippets": 1}
    cluster, here, result = tmp_path / "cluster", tmp_path / "here", tmp_path / "result.json"
    call(lemur_python, "-c", PROGRAM, cluster, json.dumps(settings), result)
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    call(lemur_python, "-m", "lemur_caption", "search", "--offline", "--workers", "1", "--root", here, *options)

    state, workers, epochs, stopped, failed, refused = json.loads(result.read_text(encoding="utf-8"))
    assert (state, workers) == ("finished", 2)
    assert recorded(cluster) == recorded(here)
    assert sorted(recorded(cluster)) == [-2, -1, *range(N)]
    # Each epoch was told and stored once, although a trial of the dead node began anew.
    assert sorted(epochs) == [[index, epoch] for index in (-2, -1, *range(N)) for epoch in (1, 2)]
    with sqlite3.connect(cluster / "db" / "ab.nn.db") as connection:
        rows = Counter(connection.execute("SELECT nn, epoch FROM stat"))
    assert rows == {(name, epoch): 1 for _, name, *_ in recorded(cluster).values() for epoch in (1, 2)}
    assert stopped == ["trained", 1]
    assert failed == ["runtime_error", 0]
    assert "--threads 1" in refused


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UsageError, match=r"no Ray cluster can be used at 127\.0\.0\.1:1 .*RAY_ADDRESS"):
        ray_cluster.RayExecutor()


def test_a_trial_whose_workers_die_again_and_again_has_failed(monkeypatch):
    board = ray_cluster._Board()
    remote = SimpleNamespace(begin=SimpleNamespace(remote=lambda number: asyncio.run(board.begin(number))))
    monkeypatch.setattr("ray.get", lambda value: value)
    monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(get_task_id=lambda: "task"))
    for _ in range(ray_cluster.MOST_ATTEMPTS):
        # Whatever it meets here: it has begun.
        with pytest.raises(TypeError, match="TrialJob"):
            ray_cluster._run(7, {}, "Net", "", None, 1, remote)
    failed = ray_cluster._run(7, {}, "Net", "", None, 1, remote)
    assert failed.outcome.value == "runtime_error" and "died 5 times" in failed.detail
