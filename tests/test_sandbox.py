"""The sandbox: hostile Nets end within their limits, nothing outside changes, nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from defects_dynamic import LSTM
from hostile_nets import HOSTILE, Hostile
from lemur_caption.candidate import Outcome
from lemur_caption.contract.sandbox import Limits, Policy, run, start
from lemur_caption.contract.validator import ValidatorPool, validate

TIGHT = Limits(wall_s=2.0, cpu_s=5.0, memory_bytes=1 << 30)
ANY = {"unsafe", "timeout", "out_of_memory", "runtime_error"}
SOURCE = ("LC1", "LC60")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    folder = tmp_path / "canary"
    (folder / "db").mkdir(parents=True)
    (folder / "db" / "ab.nn.db").write_bytes(b"SQLite format 3\0 and rows")
    (folder / "secret.txt").write_text("hush")
    return folder


def state(folder: Path) -> list[tuple[str, int, bytes]]:
    paths = sorted(folder.rglob("*"))
    return [(str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"") for path in paths]


def living(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def assert_nothing_left(before: set[int], patience: float = 2.0) -> None:
    """No process below this one that was not there before."""
    deadline = time.monotonic() + patience
    while True:
        left = [process for process in living(os.getpid()) if process.pid not in before]
        if not left:
            return
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def pool() -> Iterator[ValidatorPool]:
    with ValidatorPool() as pool:
        yield pool


@pytest.fixture(scope="module")
def bare_pool() -> Iterator[ValidatorPool]:
    with ValidatorPool(audit=False) as pool:
        yield pool


def names(hostile: Hostile) -> str:
    return hostile.name.replace(" ", "-")


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE, ids=names)
def test_a_hostile_net_ends_and_harms_nothing(pool: ValidatorPool, canary: Path, hostile: Hostile) -> None:
    before, processes = state(canary), {process.pid for process in living(os.getpid())}
    report = pool.validate(hostile.source(str(canary)), limits=TIGHT, ignore=SOURCE)
    assert report.outcome is not None and report.outcome.value in hostile.outcomes, report.findings
    assert report.seconds < TIGHT.wall_s + 2
    assert report.findings[-1].rule.startswith("LC69")
    assert state(canary) == before
    assert_nothing_left(processes)


@pytest.mark.slow
@pytest.mark.parametrize("hostile", [h for h in HOSTILE if h.outcomes != ("timeout",)], ids=names)
def test_the_kernel_alone_keeps_it_harmless(bare_pool: ValidatorPool, canary: Path, hostile: Hostile) -> None:
    before, processes = state(canary), {process.pid for process in living(os.getpid())}
    report = bare_pool.validate(hostile.source(str(canary)), limits=TIGHT, ignore=SOURCE)
    if report.protections["file_system"] is not True or report.protections["system_calls"] is not True:
        pytest.skip(f"this kernel lacks a wall: {report.protections}")
    assert report.seconds < TIGHT.wall_s + 2
    assert state(canary) == before
    assert_nothing_left(processes)


def test_the_source_rules_refuse_what_is_unsafe_before_it_runs(canary: Path) -> None:
    """What they let through can only spin, fill its own memory, or end itself."""
    passed = [h.name for h in HOSTILE if not validate(h.source(str(canary)), static_only=True).findings]
    assert [h.name for h in HOSTILE if h.name in passed and "unsafe" in h.outcomes] == []


def test_there_are_forty_hostile_nets() -> None:
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE) >= 40
    assert {outcome for hostile in HOSTILE for outcome in hostile.outcomes} == ANY


def test_the_next_candidate_is_unharmed(pool: ValidatorPool, canary: Path) -> None:
    for name in ("100 GB tensor", "os._exit with 0", "segmentation fault through ctypes"):
        hostile = next(hostile for hostile in HOSTILE if hostile.name == name)
        assert not pool.validate(hostile.source(str(canary)), limits=TIGHT, ignore=SOURCE).ok
    assert pool.validate(LSTM).ok


def test_the_report_states_every_protection(pool: ValidatorPool) -> None:
    protections = pool.validate(LSTM).protections
    assert set(protections) == {
        *("pid_namespace", "network_namespace", "orphans_adopted", "cpu_time", "file_size", "open_files"),
        *("memory", "process_count", "file_system", "system_calls", "audit_hook"),
    }
    assert all(value is True or isinstance(value, str) for value in protections.values())


def test_a_pool_starts_again_after_its_server_is_killed() -> None:
    with ValidatorPool() as pool:
        server = psutil.Process(pool._running().pid)
        server.kill()
        server.wait()
        assert pool.validate(LSTM).ok


def test_a_closed_pool_leaves_no_process() -> None:
    before = {process.pid for process in living(os.getpid())}
    with ValidatorPool() as pool:
        assert pool.validate(LSTM, timeout_s=20).ok
    assert_nothing_left(before)


def test_a_caller_that_dies_takes_its_pool_along(tmp_path: Path) -> None:
    code = """
        import os, signal
        from lemur_caption.contract.validator import ValidatorPool, validate
        pool = ValidatorPool()
        pool.__enter__()
        print(pool._running().pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    caller = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    server = int(caller.stdout)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(server) and psutil.Process(server).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server outlives its caller"
        time.sleep(0.05)


# --- programs, as LEMUR's runner uses it -------------------------------------------------------------------------


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_a_program_runs_with_its_streams_and_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush")
    code = "import os; print(sorted(os.environ), os.getcwd())"
    with start(
        python(code), Policy(TIGHT), folder=tmp_path, environment={"EXTRA": "1"}, stdout=subprocess.PIPE
    ) as process:
        assert process.popen.stdout is not None
        text = process.popen.stdout.read().decode()
        finished = process.wait()
    assert finished.outcome is None and finished.ending["code"] == 0
    assert "MY_TOKEN" not in text and "EXTRA" in text and str(tmp_path) in text


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("pass", None),
        ("raise SystemExit(3)", Outcome.RUNTIME_ERROR),
        ("import os; os.abort()", Outcome.RUNTIME_ERROR),
        ("import time; time.sleep(60)", Outcome.TIMEOUT),
        ("import os; os.fork()", Outcome.UNSAFE),
        ("import socket; socket.socket()", Outcome.UNSAFE),
    ],
)
def test_how_a_program_ended(tmp_path: Path, code: str, outcome: Outcome | None) -> None:
    before = {process.pid for process in living(os.getpid())}
    finished = run(python(code), Policy(TIGHT), folder=tmp_path)
    if outcome is Outcome.UNSAFE and finished.protections["system_calls"] is not True:
        pytest.skip(f"no seccomp: {finished.protections['system_calls']}")
    if "abort" in code:  # the first process of a PID namespace cannot send itself a deadly signal, and faults instead
        assert finished.ending["reason"] == "signal"
    assert finished.outcome is outcome
    assert_nothing_left(before)


def test_a_program_writes_only_where_it_may(tmp_path: Path, canary: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = f"""
        open('inside.txt', 'w').write('x')
        for path in ('{canary}/new.txt', '{canary}/secret.txt', '/tmp/lemur-caption-test'):
            try:
                open(path, 'a').close()
            except PermissionError:
                continue
            raise SystemExit(path)
    """
    before = state(canary)
    finished = run(python(code), Policy(TIGHT, writable=(str(scratch),), fatal=False), folder=scratch)
    if finished.protections["file_system"] is not True:
        pytest.skip(f"no Landlock: {finished.protections['file_system']}")
    assert finished.outcome is None
    assert (scratch / "inside.txt").read_text() == "x"
    assert state(canary) == before


def test_a_program_may_be_allowed_to_start_programs(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.run(['true'], check=True)"
    policy = Policy(TIGHT, writable=(str(tmp_path),), processes=True, fatal=False)
    assert run(python(code), policy, folder=tmp_path).outcome is None


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    finished = run(["no-such-program"], Policy(TIGHT), folder=tmp_path)
    assert finished.outcome is Outcome.RUNTIME_ERROR and finished.ending["code"] == 127


def test_memory_beyond_the_limit_cannot_be_had(tmp_path: Path) -> None:
    code = "try:\n    bytearray(2 << 30)\nexcept MemoryError:\n    raise SystemExit(42)"
    finished = run([sys.executable, "-c", code], Policy(TIGHT), folder=tmp_path)
    assert finished.ending["code"] == 42


# --- a kernel without the walls ----------------------------------------------------------------------------------

WITHOUT = """
import json, os, sys, time
from lemur_caption.contract.sandbox import linux, supervise
from lemur_caption.contract.sandbox.limits import Limits, Policy

linux.enter_namespaces = lambda network: {"pid_namespace": "refused", "network_namespace": "refused"}
supervise.restrict_calls = lambda **options: "missing"
supervise.restrict_files = lambda *options: "missing"

def child(pipe, states):
    CODE

os.setsid()
ending = supervise.supervise(child, Policy(Limits(wall_s=2, processes=20)), lambda data: None)
print(json.dumps([ending.reason, ending.code, ending.protections, linux.descendants(os.getpid())]))
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("time.sleep(60)", "timeout"),
        ("if os.fork() == 0: os.setsid(); os.fork() or time.sleep(60); time.sleep(60)", "exit"),
        ("[os.fork() or time.sleep(60) for _ in range(60) if not time.sleep(0.01)]; time.sleep(60)", "processes"),
    ],
    ids=["sleeper", "daemon", "many-processes"],
)
def test_without_the_kernels_walls_nothing_is_left_behind_either(tmp_path: Path, code: str, reason: str) -> None:
    before = {process.pid for process in living(os.getpid())}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.replace("CODE", code)], capture_output=True, text=True, timeout=30, check=True
    )
    found, _, protections, left = json.loads(done.stdout.splitlines()[-1])
    assert found == reason
    assert left == []
    assert protections["pid_namespace"] == "refused"
    assert_nothing_left(before)
