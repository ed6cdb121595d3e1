"""What a Net can do to the world while LEMUR's runner trains it: nothing."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from conftest import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Landlock, seccomp and namespaces are Linux's"),
]

HOSTILE = """
import json, os, pathlib, signal, socket, subprocess


def attempt(act):
    try:
        return str(act())
    except BaseException as error:
        return type(error).__name__


def daemon():
    subprocess.Popen(
        ["python3", "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)", "left-behind-{tag}"],
        start_new_session=True,
    )


class Net:
    def __init__(self, in_shape, out_shape, prm, device):
        raise ValueError(json.dumps({{
            "database": attempt(lambda: os.unlink("{root}/db/ab.nn.db")),
            "root": attempt(lambda: pathlib.Path("{root}/planted").write_text("x")),
            "home": attempt(lambda: pathlib.Path("{home}/planted").write_text("x")),
            "package": attempt(lambda: pathlib.Path(os.__file__).with_name("planted.py").write_text("x")),
            "secret": attempt(lambda: os.environ["LEMUR_TEST_SECRET"]),
            "environ": attempt(lambda: pathlib.Path("/proc/{pid}/environ").read_bytes()),
            "file": attempt(lambda: pathlib.Path("{root}/secret.txt").read_text()),
            "socket": attempt(lambda: socket.create_connection(("127.0.0.1", {port}), 2)),
            "kill": attempt(lambda: os.kill({pid}, signal.SIGTERM)),
            "daemon": attempt(daemon),
        }}))
"""


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_hostile_net_reaches_nothing_and_leaves_nothing(run: Run, tmp_path: Path, small_shapes: Path) -> None:
    assert run("register").returncode == 0
    (tmp_path / "secret.txt").write_text("the secret", encoding="utf-8")
    tag = str(time.monotonic_ns())
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = HOSTILE.format(root=tmp_path, home=Path.home(), port=server.getsockname()[1], pid=os.getpid(), tag=tag)
        (tmp_path / "Hostile.py").write_text(source, encoding="utf-8")
        before = tree(tmp_path)
        finished = run(
            *("train", "Hostile.py", "--contract", "off", "--data", small_shapes, "--json"),
            env={"LEMUR_TEST_SECRET": "the secret"},
        )
    (result,) = json.loads(finished.stdout)
    assert finished.returncode == 1 and result["outcome"] == "runtime_error", finished.stderr
    reached = json.loads(result["detail"].removeprefix("ValueError: "))
    assert reached.pop("daemon") == "None", "starting a program is allowed, outliving the trial is not"
    denied = {"PermissionError", "FileNotFoundError", "ProcessLookupError", "OSError", "KeyError"}
    assert set(reached.values()) <= denied, (reached, result["protections"])
    assert tree(tmp_path) == before
    assert not (Path.home() / "planted").exists()
    left = [p for p in psutil.process_iter(["cmdline"]) if f"left-behind-{tag}" in (p.info["cmdline"] or [])]
    assert left == []
    assert result["protections"]["file_system"] is True, result["protections"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("stat/1.json", "[{}]"),
        ("stat/1.json", '[{"accuracy": 1.0, "uid": {}, "train_stat": {}}]'),
        ("stat/1.json", '{"accuracy": 1.0}'),
        ("result.json", '{"error": null}'),
        ("result.json", '{"error": null, "quality": 1.0}'),
    ],
)
def test_a_net_that_writes_its_own_result_is_found_out(
    run: Run, tmp_path: Path, small_shapes: Path, file: str, content: str
) -> None:
    source = f"""
import os, pathlib


class Net:
    def __init__(self, in_shape, out_shape, prm, device):
        pathlib.Path({file!r}).parent.mkdir(exist_ok=True)
        pathlib.Path({file!r}).write_text({content!r})
        os._exit(0)
"""
    (tmp_path / "Forger.py").write_text(source, encoding="utf-8")
    finished = run("train", "Forger.py", "--contract", "off", "--data", small_shapes, "--json")
    (result,) = json.loads(finished.stdout)
    assert finished.returncode == 1 and result["outcome"] == "runtime_error", finished.stderr
    assert "tampered" in result["detail"], result["detail"]
