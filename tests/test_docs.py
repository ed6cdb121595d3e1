"""The documentation says what the code says."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from conftest import REPOSITORY
from lemur_caption.contract import RULES

TOOLS = REPOSITORY / "docs" / "_tools"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_contract_page_is_made_of_the_rules() -> None:
    page = (REPOSITORY / "docs" / "contract.md").read_text(encoding="utf-8")
    pages = subprocess.run(
        [sys.executable, "-m", "lemur_caption", "rule", "--pages"], capture_output=True, text=True, check=True
    ).stdout
    nested = re.sub(r"^# ", "### ", re.sub(r"^## ", "#### ", pages, flags=re.M), flags=re.M)
    assert page.endswith(nested), "renew the rules of docs/contract.md from `lemur-caption rule --pages`"
    assert all(rule in nested for rule in RULES)


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_commands_page_is_made_of_the_commands() -> None:
    commands = tool("commands_page")
    _, _, written = commands.PAGE.read_text(encoding="utf-8").partition(commands.START)
    assert written == f"\n{commands.generated()}", "renew docs/commands.md: python docs/_tools/commands_page.py"
    names = [name for name, _ in commands.commands()]
    assert {"search", "data prepare"} <= set(names) and written.count("\n## ") == len(names)


def test_every_benchmark_is_on_its_page() -> None:
    page = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for script in (REPOSITORY / "benchmarks").glob("*.py"):
        assert f"benchmarks/{script.name}" in page and f"| `{script.name}` |" in page, f"{script.name} is missing"


def test_every_room_is_in_the_table() -> None:
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    rooms = {init.parent.name for init in (REPOSITORY / "src" / "lemur_caption").glob("*/__init__.py")}
    assert len(rooms) > 10
    assert [room for room in sorted(rooms) if f"`{room}/`" not in page] == []


def test_the_navigation_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    nav = ["here.md", "gone.md", {"Named": "here.md"}, {"Gone": "gone.md"}, {"Part": ["gone.md", {"Deep": "here.md"}]}]
    expected = ["here.md", {"Named": "here.md"}, {"Part": [{"Deep": "here.md"}]}]
    assert tool("nav").existing([*nav, {"Empty": ["gone.md"]}], tmp_path) == expected


class Loaded(HTMLParser):
    """What a page makes a browser load, and where its links lead."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        target = dict(attributes).get("href" if tag in ("a", "link") else "src")
        if target:
            (self.links if tag == "a" else self.loads).add(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    return folder


def test_the_site_builds_strictly_and_has_every_page(site: Path) -> None:
    sources = [page.stem for page in (REPOSITORY / "docs").glob("*.md")]
    start = Loaded(site / "index.html")
    for name in sources:
        assert (site / f"{name}.html").is_file() and (name == "index" or f"{name}.html" in start.links), name
    assert not list(site.glob("**/*.py")), "the tools are no part of the site"


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.glob("*.html"))
    assert len(pages) > 15
    for page in pages:
        for target in Loaded(page).loads - {""}:
            parts = urlsplit(target)
            assert not parts.scheme and not parts.netloc, f"{page.name} loads {target}"
            local = site / parts.path.lstrip("/") if parts.path.startswith("/") else page.parent / unquote(parts.path)
            assert local.exists(), f"{page.name} loads {target}, which is not there"
    for style in site.glob("assets/stylesheets/*.css"):
        assert not re.search(r"""@import|url\(["']?(?:https?:)?//""", style.read_text(encoding="utf-8")), style.name
