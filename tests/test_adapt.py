"""`adapt` on whole Nets of our own and on what is no Net, and its command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lemur_caption.cli.adapt import adapt as command
from lemur_caption.errors import UsageError
from lemur_caption.source.adapt import TRANSFORMATIONS, Adaptation, AdaptError, adapt
from old_net_parts import OLD_NETS, PACKAGE_NETS, assert_keeps_the_api, names, net


@pytest.fixture(autouse=True)
def no_lemur_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing LEMUR's module would fix LEMUR's root for the whole test process."""
    monkeypatch.setitem(sys.modules, "ab.nn.loader.coco_.Caption", None)


@pytest.mark.parametrize("path", OLD_NETS, ids=lambda path: path.stem)
def test_an_old_net_keeps_todays_api(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    adaptation = adapt(source, random_weights=True)
    assert adaptation.refusals == []
    assert_keeps_the_api(adaptation.source)


@pytest.mark.parametrize("path", OLD_NETS, ids=lambda path: path.stem)
def test_adapting_twice_is_adapting_once(path: Path) -> None:
    once = adapt(path.read_text(encoding="utf-8"), random_weights=True)
    twice = adapt(once.source, random_weights=True)
    assert twice.changes == []
    assert twice.source == once.source


@pytest.mark.parametrize("path", OLD_NETS, ids=lambda path: path.stem)
def test_comments_stay_but_those_on_removed_lines(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    adapted = adapt(source, random_weights=True).source
    comments = [line.partition("# ")[2] for line in source.splitlines() if "# " in line]
    gone = [comment for comment in comments if comment not in adapted]
    expected = ["the metric compared position by position", "[B, T, V]"] if path.stem == "front_padding" else []
    assert gone == expected


def test_each_transformation_is_shown_by_an_old_net() -> None:
    shown = {name for path in OLD_NETS for name in names(adapt(path.read_text(encoding="utf-8"), random_weights=True))}
    assert shown == set(TRANSFORMATIONS)


@pytest.mark.parametrize("source", [net(), *[path.read_text(encoding="utf-8") for path in PACKAGE_NETS]])
def test_a_net_that_needs_nothing_is_left_alone(source: str) -> None:
    adaptation = adapt(source)
    assert adaptation == Adaptation(source, [], [])


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    source = OLD_NETS[0].read_text(encoding="utf-8")
    adapted = adapt(source).source
    assert adapt(source.replace("\n", "\r\n")).source == adapted.replace("\n", "\r\n")
    assert adapt("\ufeff" + source).source == "\ufeff" + adapted


def test_changes_name_the_original_line() -> None:
    source = next(path for path in OLD_NETS if path.stem == "tuple_batches").read_text(encoding="utf-8")
    lines = source.splitlines()
    at = {change.name: lines[change.line - 1].strip() for change in adapt(source).changes}
    assert at["learn-returns"] == "loss.backward()"
    assert at["bounded-inference"] == "while True:"
    assert at["hidden-state"].startswith("return logits")
    assert at["forward-arguments"] == "def forward(self, images, captions=None):"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "the file is empty"),
        ("class Net(", "syntax error"),
        ("(" * 10_000 + ")" * 10_000, "nests too deeply"),
        ("x = 1\0", "NUL"),
        ("class Other: pass", "no class Net"),
        ("class Net:\n    def __init__(self): pass", "no method train_setup"),
        (
            net().replace("def forward(self, images, captions=None, hidden_state=None)", "def forward(self, images)"),
            "no captioning Net",
        ),
    ],
)
def test_what_is_no_net_raises(source: str, reason: str) -> None:
    with pytest.raises(AdaptError, match=reason):
        adapt(source)


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(command)
    return made


def copied(folder: Path, stem: str) -> Path:
    path = folder / f"{stem}.py"
    path.write_bytes(next(old for old in OLD_NETS if old.stem == stem).read_bytes())
    return path


def test_the_command_prints_a_diff_and_writes_nothing(app: typer.Typer, tmp_path: Path) -> None:
    path = copied(tmp_path, "tuple_batches")
    before = path.read_bytes()
    result = CliRunner().invoke(app, [str(path)])
    assert result.exit_code == 0
    assert f"--- a/{path}" in result.stdout
    assert "+            loss_sum += loss.item()" in result.stdout
    assert path.read_bytes() == before


def test_the_command_writes_in_place_and_keeps_the_mode(app: typer.Typer, tmp_path: Path) -> None:
    path = copied(tmp_path, "tuple_batches")
    path.chmod(0o640)
    wanted = adapt(path.read_text(encoding="utf-8")).source
    result = CliRunner().invoke(app, [str(path), "--write"])
    assert result.exit_code == 0
    assert path.read_text(encoding="utf-8") == wanted
    assert path.stat().st_mode & 0o777 == 0o640
    assert [other.name for other in tmp_path.iterdir()] == [path.name]
    assert CliRunner().invoke(app, [str(path)]).stdout == ""


def test_the_command_says_what_it_refuses(app: typer.Typer, tmp_path: Path) -> None:
    good, asking, broken = copied(tmp_path, "tuple_batches"), copied(tmp_path, "vocabulary"), tmp_path / "broken.py"
    broken.write_text("class Net(", encoding="utf-8")
    result = CliRunner().invoke(app, [str(good), str(asking), str(broken)])
    assert result.exit_code == 1
    said = result.stderr.splitlines()
    line = 1 + next(i for i, text in enumerate(asking.read_text("utf-8").splitlines()) if "DEFAULT" in text)
    assert len(said) == 2
    assert said[0].startswith(f"{asking}: line {line}: random-weights: ")
    assert said[1].startswith(f"{broken}: line 1: syntax error")
    assert CliRunner().invoke(app, [str(asking), "--random-weights"]).exit_code == 0


def test_the_command_speaks_json(app: typer.Typer, tmp_path: Path) -> None:
    path = copied(tmp_path, "tuple_batches")
    result = CliRunner().invoke(app, [str(path), "--json"])
    (told,) = json.loads(result.stdout)
    assert (told["file"], told["written"], told["refusals"]) == (str(path), False, [])
    assert {"name", "line", "description"} == set(told["changes"][0])


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_the_command_refuses_what_it_cannot_read(app: typer.Typer, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "net.py"
    if content is not None:
        path.write_bytes(content)
    result = CliRunner().invoke(app, [str(path)])
    assert isinstance(result.exception, UsageError)
    assert str(path) in str(result.exception)
