"""Root, schema and registration, in child processes against a LEMUR of the test's own."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import Run, assert_one_line, make_lemur_venv
from lemur_caption.lemur import registry
from lemur_caption.lemur.root import find_root


@pytest.fixture
def own_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lemur_venv(tmp_path_factory.mktemp("own") / "venv")


def package(python: Path) -> Path:
    return next((python.parent.parent / "lib").glob("python*")) / "site-packages" / "ab" / "nn"


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.py"))
    }


def rows(database: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(database) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables}


def test_register_makes_the_schema_and_the_files_and_a_second_call_changes_nothing(
    run: Run, own_python: Path, tmp_path: Path
) -> None:
    first = run("register", "--json", python=own_python)
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["made"] == "created"
    assert "loader/shapes" in report["written"] and "nn/CaptionLSTM" in report["written"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["ab.nn.db", "db"], "nothing half-made stays"
    before = contents(package(own_python)), rows(tmp_path / "db" / "ab.nn.db")

    second = run("register", "--json", python=own_python)
    assert json.loads(second.stdout)["written"] == []
    assert (contents(package(own_python)), rows(tmp_path / "db" / "ab.nn.db")) == before


def test_lemurs_own_entry_points_find_what_was_registered(run: Run, lemur_python: Path, tmp_path: Path) -> None:
    assert run("register").returncode == 0
    program = """
import ab.nn.api
from ab.nn.util.Loader import get_obj
from ab.nn.util.db.Read import supported_transformers
from ab.nn.util.db.Util import get_ab_nn_attr
print(get_obj("shapes", "loader").__module__, get_obj("coco-caption", "loader").__module__)
print(sorted(get_ab_nn_attr("nn.CaptionLSTM", "supported_hyperparameters")()), sorted(supported_transformers()))
print(type(get_ab_nn_attr("metric.bleu-4", "create_metric")((9,))).__name__)
"""
    finished = subprocess.run([lemur_python, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "ab.nn.loader.shapes ab.nn.loader.coco-caption" in finished.stdout
    assert "['lr', 'momentum'] ['norm_64', 'norm_96']" in finished.stdout


def test_register_from_a_python_process_keeps_stdout_clean(lemur_python: Path, tmp_path: Path) -> None:
    program = "import lemur_caption; print(len(lemur_caption.register(offline=True)), lemur_caption.register())"
    finished = subprocess.run([lemur_python, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    written, second = finished.stdout.split(" ", 1)
    assert int(written) > 0 and second.strip() == "[]"


def test_an_existing_database_keeps_every_row(run: Run, tmp_path: Path) -> None:
    assert run("register").returncode == 0
    database = tmp_path / "db" / "ab.nn.db"
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM metric")
        connection.execute("DROP TABLE train_stat")  # as an older LEMUR left it
        connection.execute("INSERT INTO nn (name, code, id) VALUES ('Mine', 'code', 'id')")
        connection.execute("INSERT INTO metric (name, code, id) VALUES ('bleu', 'LEMUR', 'id')")
        connection.execute("INSERT INTO stat (id, accuracy, task, nn) VALUES ('s', 0.5, 'img-classification', 'Mine')")
    before = rows(database)
    finished = run("register", "--json")
    assert json.loads(finished.stdout)["made"] == "completed"
    after = rows(database)
    assert "train_stat" in after
    for table, kept in before.items():
        assert set(kept) <= set(after[table]), table


def test_unregister_removes_what_is_ours_and_keeps_code_that_results_refer_to(
    run: Run, own_python: Path, tmp_path: Path
) -> None:
    clean = contents(package(own_python))
    run("register", python=own_python)
    database = tmp_path / "db" / "ab.nn.db"
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO stat (id, nn, metric) VALUES ('s', 'CaptionLSTM', 'bleu-4,cider-d')")
    finished = run("unregister", "--json", python=own_python)
    assert finished.returncode == 0, finished.stderr
    assert contents(package(own_python)) == clean
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT name FROM nn").fetchall() == [("CaptionLSTM",)]
        assert connection.execute("SELECT name FROM metric ORDER BY 1").fetchall() == [("bleu-4",), ("cider-d",)]
    assert set(json.loads(finished.stdout)["kept"]) == {"nn/CaptionLSTM", "metric/bleu-4", "metric/cider-d"}
    assert run("status", python=own_python).returncode == 1


def test_a_foreign_file_under_our_name_is_left_alone(run: Run, own_python: Path, tmp_path: Path) -> None:
    foreign = package(own_python) / "metric" / "bleu-4.py"
    foreign.write_text("# somebody else's\n", encoding="utf-8")
    assert_one_line(run("register", python=own_python), 2, "bleu-4", "not lemur-caption's")
    assert foreign.read_text(encoding="utf-8") == "# somebody else's\n"
    assert not (package(own_python) / "loader" / "shapes.py").exists(), "all or nothing"


def test_an_outdated_file_of_ours_is_renewed(run: Run, own_python: Path) -> None:
    run("register", python=own_python)
    path = package(own_python) / "metric" / "bleu-4.py"
    current = path.read_text(encoding="utf-8")
    path.write_text(f"{registry.MARKER}\n", encoding="utf-8")
    assert json.loads(run("register", "--json", python=own_python).stdout)["written"] == ["metric/bleu-4"]
    assert path.read_text(encoding="utf-8") == current


def test_no_hub_means_lemurs_own_schema_and_no_leftovers(run: Run, tmp_path: Path) -> None:
    """A hub that accepts the connection and then closes it: LEMUR's download fails, and nothing of it stays."""
    server = socket.create_server(("127.0.0.1", 0))

    def close_at_once() -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return

    threading.Thread(target=close_at_once, daemon=True).start()
    port = server.getsockname()[1]
    environment = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": f"http://127.0.0.1:{port}"}
    finished = run("register", "--json", env=environment)
    server.close()
    assert json.loads(finished.stdout)["made"] == "created", finished.stderr
    assert [path.name for path in (tmp_path / "db").iterdir()] == ["ab.nn.db"]


def test_eight_processes_make_one_database(lemur_python: Path, tmp_path: Path) -> None:
    command = [lemur_python, "-m", "lemur_caption", "register", "--offline"]
    started = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 8, errors
    with sqlite3.connect(tmp_path / "db" / "ab.nn.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT COUNT(*) FROM nn").fetchone() == (2,)
    assert [path.name for path in (tmp_path / "db").iterdir()] == ["ab.nn.db"]


def test_the_root_is_found_by_lemurs_rule(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_root(inner) == inner
    (tmp_path / "ab").mkdir()
    assert find_root(inner) == inner, "README.md is missing"
    (tmp_path / "README.md").touch()
    assert find_root(inner) == tmp_path


def test_a_root_that_is_missing_is_made(run: Run, tmp_path: Path) -> None:
    assert run("register", "--root", tmp_path / "new" / "root").returncode == 0
    assert (tmp_path / "new" / "root" / "db" / "ab.nn.db").exists()


def test_unusable_roots_are_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert_one_line(run("register", "--root", tmp_path / "file"), 1, "--root")
    # /proc takes no folders, whoever asks.
    assert_one_line(run("register", "--root", "/proc/lemur"), 1, "--root")
    if os.geteuid() != 0:
        (tmp_path / "shut").mkdir(mode=0o500)
        assert_one_line(run("register", "--root", tmp_path / "shut"), 1, "--root")


def test_a_damaged_database_is_one_line_and_untouched(run: Run, tmp_path: Path) -> None:
    database = tmp_path / "db" / "ab.nn.db"
    database.parent.mkdir()
    database.write_bytes(b"this is no database" * 100)
    assert_one_line(run("register"), 1, "ab.nn.db")
    assert database.read_bytes() == b"this is no database" * 100


def test_an_empty_database_file_is_completed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "ab.nn.db").touch()
    assert json.loads(run("register", "--json").stdout)["made"] == "completed"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("register", "--help"), ("train", "--help")])
def test_help_imports_no_torch(arguments: tuple[str, ...], tmp_path: Path) -> None:
    program = (
        f"import sys; sys.argv = ['lemur-caption', *{arguments!r}]\n"
        "from lemur_caption.cli import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert "Usage: lemur-caption" in finished.stdout + finished.stderr, finished.stderr
    assert "Assertion" not in finished.stderr


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("train",), ("register", "--nonsense"), ("train", "X", "--epochs", "0")]
)
def test_wrong_use_exits_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).returncode == 2
