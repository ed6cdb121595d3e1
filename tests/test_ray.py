"""Trials on a real Ray cluster of two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lemur_caption.dataset.shapes import render_shapes

pytest.importorskip("ray", reason="the extra [ray] is not installed")

PROGRAM = """
import json, os, random, sys, threading, time
import ray
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
other = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
ray.init(address=cluster.address, log_to_driver=False)

from pathlib import Path
from lemur_caption.architecture import random_design, render
from lemur_caption.lemur import runner
from lemur_caption.lemur.store import Store
from lemur_caption.lemur.trial import TrialJob
from lemur_caption.search.executors import LocalExecutor, Task
from lemur_caption.search.executors.ray_cluster import RayExecutor

store = Store.open(sys.argv[1], offline=True)
runner.check_names(store, "shapes", "norm_64", "bleu-4")
data = str(runner.prepare_data(store, "shapes", Path(sys.argv[2])))
rng = random.Random(3)
jobs = [
    TrialJob(render(random_design(rng)), "shapes", "bleu-4", "norm_64", epochs=2, threads=1) for _ in range(4)
]
jobs.append(TrialJob("class Net: pass", "shapes", "bleu-4", "norm_64", threads=1))

def run(executor, after_first=lambda: None):
    told = [[] for _ in jobs]
    started = threading.Event()
    def report(place):
        def on_epoch(epoch):
            told[place].append((epoch.epoch, epoch.accuracy))
            started.set()
            return False
        return on_epoch
    futures = [executor.submit(Task(f"Net{i}", job, data, 300.0), report(i)) for i, job in enumerate(jobs)]
    started.wait(200)
    after_first()
    results = [future.result(timeout=400) for future in futures]
    return executor.workers, [[r.outcome.value, [e.accuracy for e in r.epochs], t] for r, t in zip(results, told)]

executor = RayExecutor(threads=1)
on_cluster = run(executor, lambda: cluster.remove_node(other, allow_graceful=False))
stopped = executor.submit(Task("Net0", jobs[0], data, 300.0), lambda epoch: True).result(timeout=300)
executor.close()
local = LocalExecutor(workers=1)
here = run(local)
local.close()
print(json.dumps([on_cluster, here, [stopped.outcome.value, len(stopped.epochs)]]))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_gives_what_this_machine_gives_and_a_dead_node_loses_nothing(lemur_python, tmp_path: Path):
    render_shapes(tmp_path / "data", train=32, val=8)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"RAY_DEDUP_LOGS": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    done = subprocess.run(
        [lemur_python, program, tmp_path / "root", tmp_path / "data"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (workers, on_cluster), (_, here), stopped = json.loads(done.stdout.splitlines()[-1])
    assert workers == 2
    assert [outcome for outcome, *_ in on_cluster] == ["trained"] * 4 + ["runtime_error"]
    assert on_cluster == here
    # Each epoch was told once, although trials of the dead node began anew.
    assert [[number for number, _ in told] for _, _, told in on_cluster] == [[1, 2]] * 4 + [[]]
    assert stopped == ["trained", 1]
