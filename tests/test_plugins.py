"""The hooks, proven by the example package, installed for real beside a LEMUR of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY, Run, assert_one_line, make_lemur_venv
from lemur_caption import plugins
from sound_net import SOUND_NET

LSTM = "nn.LSTM(8, 8)"


@pytest.fixture(scope="module")
def python_with_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    python = make_lemur_venv(folder / "venv")
    site = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "gru_only.py"):
        (source / name).write_text(
            (REPOSITORY / "examples" / "plugin" / name).read_text(encoding="utf-8"), encoding="utf-8"
        )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--target", site, source], check=True, capture_output=True)
    return python


def test_an_installed_rule_reports_with_its_hint_and_has_a_page(
    run: Run, python_with_plugin: Path, tmp_path: Path
) -> None:
    source = SOUND_NET.rstrip() + f"\n\n\ndef unused():\n    return {LSTM}\n"
    (tmp_path / "net.py").write_text(source, encoding="utf-8")
    finished = run("validate", "--static", "--json", "net.py", python=python_with_plugin)
    assert finished.returncode == 1, finished.stderr
    (report,) = json.loads(finished.stdout)
    (finding,) = report["findings"]
    assert finding["rule"] == "GR101" and "GRU" in finding["hint"] and finding["line"] == len(source.splitlines())
    assert run("validate", "--static", "net.py").returncode == 0, "without the plug-in nothing speaks against it"
    assert "no-lstm" in run("rule", "gr101", python=python_with_plugin).stdout
    assert_one_line(run("rule", "GR101"), 2, "GR101")


def test_an_installed_language_model_is_asked(run: Run, python_with_plugin: Path) -> None:
    finished = run(
        "generate", "--llm", "constant:nothing", "--n", 1, "--snippets", 1, "--json", python=python_with_plugin
    )
    (candidate,) = json.loads(finished.stdout)
    assert candidate["outcome"] == "no_code" and candidate["response"] == "nothing" and candidate["model"] == "constant"
    assert_one_line(run("generate", "--llm", "constant:nothing", "--n", 1), 2, "constant", "smollm2")


def test_the_built_ins_come_through_the_same_hook() -> None:
    assert {"smollm2", "replay"} <= set(plugins.generators())
    assert plugins.manager().get_plugin("built-in") is not None
