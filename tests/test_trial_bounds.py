"""What bounds a trial from outside: its time, its cancellation, and how much of what a Net leaves is believed and kept."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from lemur_caption.candidate import Outcome
from lemur_caption.contract import sandbox
from lemur_caption.contract.sandbox.process import Finished
from lemur_caption.errors import TrialError
from lemur_caption.lemur import epoch_files, runner, trial_slot
from lemur_caption.lemur.epoch_files import TamperedError
from lemur_caption.lemur.trial import TrialJob
from lemur_caption.search.executors import LocalExecutor, Task

JOB = TrialJob("class Net: ...", "shapes", "bleu-4", "norm_64")
UNTOLD = Finished.untold(3)


def test_a_cancelled_executor_takes_trials_and_runs_none():
    executor = LocalExecutor(workers=1)
    executor.cancel()
    executor.cancel()
    for _ in range(3):
        with pytest.raises(CancelledError):
            executor.submit(Task("Net", JOB, "/nowhere"), lambda epoch: False).result(timeout=10)
    executor.close()


def test_a_killed_slot_starts_no_server_again(tmp_path):
    slot = trial_slot.TrialSlot({})
    try:
        slot.kill()
        with pytest.raises(TrialError, match="cancelled"):
            slot.clear()
        with pytest.raises(TrialError, match="cancelled"):
            slot.start(tmp_path / "job.json", sandbox.Policy(), {}, tmp_path / "log")
        assert slot._server.pid is None
    finally:
        slot.close()


def test_a_supervisor_that_is_stopped_does_not_stop_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr("lemur_caption.contract.sandbox.process.GRACE_S", 0.2)
    policy = sandbox.Policy(sandbox.Limits(wall_s=0.5))
    with sandbox.start([sys.executable, "-c", "import time; time.sleep(600)"], policy, folder=tmp_path) as process:
        os.kill(process.popen.pid, signal.SIGSTOP)
        ended = _wait_for(process)
        assert ended and process.wait().outcome is Outcome.TIMEOUT


def test_a_forked_trial_that_says_nothing_ends_with_its_time(monkeypatch):
    monkeypatch.setattr(trial_slot, "GRACE_S", 0.2)
    ours, theirs = socket.socketpair()
    policy = sandbox.Policy(sandbox.Limits(wall_s=0.1))
    with theirs, trial_slot.ForkedProcess(ours, policy) as process:
        assert not process.ended
        assert _wait_for(process) and process.wait().outcome is Outcome.TIMEOUT


def _wait_for(process: sandbox.SandboxedProcess | trial_slot.ForkedProcess) -> bool:
    give_up = time.monotonic() + 60
    while not process.ended and time.monotonic() < give_up:
        time.sleep(0.02)
    return process.ended


def test_rights_that_a_net_took_from_its_folders_come_back_and_links_are_left(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "root"
    outside.mkdir(mode=0o755)
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "link").symlink_to(outside)
    for path in (folder / "a" / "b", folder / "a", folder):
        path.chmod(0)
    trial_slot.open_up(folder)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "a", folder / "a" / "b")] == [0o700] * 3
    assert outside.stat().st_mode & 0o777 == 0o755


def test_of_megabytes_of_print_the_end_is_kept(tmp_path):
    (tmp_path / "log").write_bytes(b"first\n" + b"x" * 20_000_000 + b" end")
    detail = runner._outcome(tmp_path, UNTOLD, [], JOB).detail
    assert detail.endswith("xx end") and len(detail) < runner.LONGEST + 100
    told = {"error": "ValueError", "message": "long " * 1_000_000, "errno": None}
    assert len(runner.failed(told, []).detail) < runner.LONGEST + 100


@pytest.mark.parametrize("name", ["result.json", "log"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_a_net_leaves_in_place_of_a_file_is_not_read(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(TamperedError):
        runner._outcome(tmp_path, UNTOLD, [], JOB)


@pytest.mark.parametrize("value", ["10" + "0" * 30, '"\\ud800"', "[1]"])
def test_a_record_that_sqlite_cannot_hold_is_tampered_with(tmp_path, value):
    path = tmp_path / "1.json"
    record = '[{"uid": "0", "accuracy": 0.1, "train_stat": {"train_loss": 1.0}, "batch": VALUE}]'
    path.write_text(record.replace("VALUE", "32"))
    assert epoch_files.epoch_records(path)
    path.write_text(record.replace("VALUE", value))
    with pytest.raises(TamperedError, match="other values"):
        epoch_files.epoch_records(path)


def test_a_slot_that_cannot_be_made_fails_each_trial_and_blocks_none(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    executor = LocalExecutor(workers=1)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            executor.submit(Task("Net", JOB, "/nowhere"), lambda epoch: False).result(timeout=60)
    executor.close()


SEES = """
import os
from pathlib import Path
from lemur_caption.lemur import runner
from lemur_caption.lemur.child import compute_environment
from lemur_caption.lemur.trial import TrialJob
from lemur_caption.lemur.trial_slot import TrialSlot

os.environ["CUDA_VISIBLE_DEVICES"] = "3,7"
net = "import os\\nraise RuntimeError('sees ' + os.environ['CUDA_VISIBLE_DEVICES'])\\n"
job = TrialJob(net, "shapes", "bleu-4", "norm_64", epochs=1, threads=1)
with TrialSlot(compute_environment(1, "7")) as slot:
    result = runner.run_trial(job, Path(DATA), what="it", on_epoch=lambda epoch: False, slot=slot)
print(result.detail)
"""


def test_a_trial_sees_the_gpu_of_its_slot_alone(run, lemur_python, small_shapes, tmp_path):
    run("register", "--offline", check=True)
    script = SEES.replace("DATA", repr(str(small_shapes)))
    done = subprocess.run([lemur_python, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "sees 7" in done.stdout and "3" not in done.stdout.partition("sees")[2], done.stdout + done.stderr
