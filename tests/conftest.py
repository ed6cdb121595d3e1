"""Shared fixtures. LEMUR writes into its own package folder, so tests run it from a venv with a copy of `ab/`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from lemur_caption.lemur.registry import items

REPOSITORY = Path(__file__).resolve().parent.parent
COCO_MINI = REPOSITORY.parent / "shared" / "data" / "coco-mini"

os.environ["HF_HUB_OFFLINE"] = "1"
# Two test processes share two cores; more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def coco_mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real COCO photographs and captions, where a checkout has them beside it; caches made of them stay out of there."""
    if not COCO_MINI.is_dir():
        pytest.skip("shared/data/coco-mini is not beside this checkout")
    folder = tmp_path_factory.mktemp("coco-mini")
    for entry in COCO_MINI.iterdir():
        if not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture(scope="session")
def small_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `shapes` set that trains in seconds."""
    from lemur_caption.dataset.shapes import render_shapes

    folder = tmp_path_factory.mktemp("small") / "shapes"
    render_shapes(folder, train=48, val=8)
    return folder


def make_lemur_venv(folder: Path, *, rating: bool = False) -> Path:
    """A venv with its own copy of LEMUR's package, and all else from the running environment; returns its python.

    What registration and LEMUR write then stays in `folder`, and every run starts from a clean LEMUR. Without `rating` its
    pylint has nothing to say: rating a Net's code takes LEMUR ten times as long as training it on a few images.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    installed = Path(sysconfig.get_path("purelib"))
    python = folder / "bin" / "python"
    own = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    shutil.copytree(installed / "ab", own / "ab", ignore=shutil.ignore_patterns("__pycache__", "stat"))
    for item in items():
        (own / "ab" / "nn" / item.kind / f"{item.name}.py").unlink(missing_ok=True)
    for metadata in installed.glob("nn_dataset-*.dist-info"):
        shutil.copytree(metadata, own / metadata.name)
    (own / "rest.pth").write_text(f"{REPOSITORY / 'src'}\n{installed}\n", encoding="utf-8")
    # LEMUR runs pylint by name, found beside the running python; where trials are forked from a server, it is called there.
    program = "import sys\nfrom pylint.lint import Run\nRun(sys.argv[1:])\n"
    if not rating:
        program = "print('[]')\n"
        (own / "pylint").mkdir()
        (own / "pylint" / "__init__.py").touch()
        (own / "pylint" / "lint.py").write_text("def Run(*_, **options):\n    print('[]')\n", encoding="utf-8")
    (folder / "bin" / "pylint").write_text(f"#!{python}\n{program}", encoding="utf-8")
    (folder / "bin" / "pylint").chmod(0o755)
    return python


@pytest.fixture(scope="session")
def lemur_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of a venv with a LEMUR of its own, shared by the tests of one session."""
    return make_lemur_venv(tmp_path_factory.mktemp("lemur") / "venv")


@pytest.fixture(scope="session")
def rating_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of a LEMUR that rates code with the real pylint."""
    return make_lemur_venv(tmp_path_factory.mktemp("rating") / "venv", rating=True)


@pytest.fixture
def run(lemur_python: Path, tmp_path: Path) -> Run:
    """Run `lemur-caption ARGUMENTS` in a child process, in an empty folder, against the session's LEMUR."""

    def call(*arguments: object, python: Path = lemur_python, cwd: Path = tmp_path, **options: object):
        environment = os.environ | {"HF_HUB_OFFLINE": "1"} | dict(options.pop("env", {}))  # type: ignore[call-overload]
        command = [python, "-m", "lemur_caption", *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, **options)  # type: ignore[call-overload]

    return call


def assert_one_line(finished: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The call failed with `code` and one line on stderr that holds `words`."""
    message = finished.stderr.strip()
    assert finished.returncode == code, f"exit code {finished.returncode} instead of {code}: {finished.stderr[-2000:]}"
    assert message.startswith("error: ") and len(message.splitlines()) == 1, message
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"
