"""The report's page in headless Chromium, as people use it: pointer, keyboard, narrow window, dark system, screen reader.

Needs PySide6's QtWebEngine (`pip install PySide6-WebEngine`) and the system libraries that it asks for; skipped without.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import report_records as recorded
from lemur_caption.report import Source, build
from lemur_caption.report.output.page import MOST_BYTES, page

# An answer takes milliseconds; on a busy machine more.
PATIENCE = 120
CASES: dict[str, Callable[[Path], Source]] = {
    "none trained": recorded.untrained,
    "one": recorded.one,
    "24": lambda root: recorded.finished(root, 24),
    "400": lambda root: recorded.finished(root, 400),
    "killed": recorded.killed,
    "markup": recorded.markup,
}


class Browser:
    """The child process; `browser.open(path, 360, 800)` and the like call the methods that tests/browser.py has."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("browser.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.replies: queue.Queue[str] = queue.Queue()
        self.errors: list[str] = []
        self.threads = [threading.Thread(target=read, daemon=True) for read in (self._read, self._read_errors)]
        for thread in self.threads:
            thread.start()
        if not self.replies.get(timeout=PATIENCE):
            self.process.wait(PATIENCE)
            self._close()
            said = next((line for line in reversed(self.errors) if line.strip()), "it said nothing").strip()
            pytest.skip(f"headless Chromium does not start ({said}); `pip install PySide6-WebEngine`")

    def _read(self) -> None:
        for line in self.process.stdout:
            self.replies.put(line)
        # The end, for whoever waits.
        self.replies.put("")

    def _read_errors(self) -> None:
        self.errors.extend(self.process.stderr)

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def call(**arguments: Any) -> dict[str, Any]:
            self.process.stdin.write(json.dumps({"do": name, **arguments}) + "\n")
            self.process.stdin.flush()
            reply = self.replies.get(timeout=PATIENCE)
            assert reply, f"the browser ended: {''.join(self.errors[-5:])}"
            return json.loads(reply)

        return call

    def show(self, path: Path, width: int = 1280, height: int = 900) -> None:
        assert self.open(path=str(path), width=width, height=height) == {"loaded": True}

    def value(self, code: str) -> Any:
        told = self.js(code=code)
        assert "error" not in told, f"{told['error']} in {code}"
        return told.get("value")

    def press(self, *names: str) -> None:
        self.keys(names=names)

    def at(self, selector: str, *, click: bool = False) -> None:
        """Point at the middle of an element, scrolled into sight."""
        box = f"document.querySelector({json.dumps(selector)})"
        self.value(f"({box}.scrollIntoView({{block: 'center', inline: 'center'}}), 1)")
        x, y = self.value(f"(b => [b.left + b.width / 2, b.top + b.height / 2])({box}.getBoundingClientRect())")
        self.pointer(x=x, y=y, click=click)

    def end(self) -> None:
        # Without anything to read it ends by itself.
        self.process.stdin.close()
        try:
            assert self.process.wait(PATIENCE) == 0
        finally:
            self.process.kill()
            self._close()

    def _close(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.end()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, make in CASES.items():
        folder = tmp_path_factory.mktemp("page")
        source = make(folder)
        found[name] = folder / "out.html"
        found[name].write_text(page(source, build(source), "today"), encoding="utf-8")
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_page_opens_from_disk_asks_for_nothing_and_has_its_charts(
    browser: Browser, pages: dict[str, Path], tmp_path: Path, case: str
) -> None:
    path = pages[case]
    assert path.stat().st_size < MOST_BYTES
    for width in (1280, 360):
        browser.show(path, width)
        assert browser.log() == {"requests": [path.as_uri()], "console": []}
        window, content = browser.value("[innerWidth, document.documentElement.scrollWidth]")
        assert window == width and content <= width, f"{content} px of content in {width} px"
        shot = tmp_path / f"{width}.png"
        assert browser.shot(path=str(shot)) == {"saved": True}
        with Image.open(shot) as image:
            assert image.width == width and len(image.convert("RGB").getcolors(1 << 24)) > 50
    charts = browser.value("[...document.querySelectorAll('.chart')].map(c => [c.computedRole, c.computedName])")
    assert len(charts) >= {"none trained": 3, "one": 7, "killed": 8}.get(case, 9)
    assert all(role == "image" and name for role, name in charts)
    marks = browser.value("[...document.querySelectorAll('.chart')].map(c => c.querySelectorAll('[data-tip]').length)")
    assert min(marks) > 0, "a chart of nothing"
    # At 360 px the letters of charts are shrunk with them.
    sizes = "[...document.querySelectorAll('.chart')].map(c => 14 * c.getBoundingClientRect().width / 400)"
    assert min(browser.value(sizes)) > 10


def test_markup_in_records_is_text_and_a_script_that_got_in_would_not_run(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.show(pages["markup"])
    assert browser.value("document.querySelectorAll('main img, main script, main style, main a').length") == 0
    assert browser.value("document.querySelector('#families tbody th').textContent") == recorded.EVIL
    intruder = "<img src='data:,' onerror='window.hit = 1'><img src='http://127.0.0.1:9/x.png'>"
    browser.value(f"(document.body.insertAdjacentHTML('beforeend', {json.dumps(intruder)}), 1)")
    browser.value("new Promise(resolve => setTimeout(resolve, 50)) && 1")
    browser.press("Shift")
    assert browser.value("window.hit || 0") == 0
    log = browser.log()
    assert log["requests"] == [pages["markup"].as_uri()]
    assert "Content Security Policy" in " ".join(log["console"])


SCORES = "[...document.querySelectorAll('#nets tbody tr')].map(r => r.cells[5].dataset.v || '')"


def test_tables_sort_by_pointer_and_by_keyboard_with_empty_cells_last(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["24"])
    browser.value("(document.querySelectorAll('#nets thead button')[5].id = 'by-score', 1)")
    given = browser.value(SCORES)
    numbers = sorted(map(float, filter(None, given)))
    assert "" in given and len(numbers) > 10

    def is_sorted(order: str, wanted: list[float]) -> None:
        found = browser.value(SCORES)
        assert [float(score) for score in found[: len(numbers)]] == wanted and not any(found[len(numbers) :])
        assert browser.value("document.getElementById('by-score').parentNode.ariaSort") == order

    browser.at("#by-score", click=True)
    is_sorted("descending", numbers[::-1])
    browser.press("Return")
    is_sorted("ascending", numbers)
    browser.press("Space")
    is_sorted("descending", numbers[::-1])
    # Words go by the alphabet, and numbers in them by size: 1/2 before 1/10.
    browser.at("#nets thead th:first-child button", click=True)
    names = browser.value("[...document.querySelectorAll('#nets tbody tr')].map(r => r.cells[0].textContent)")
    assert names.index("1/2") < names.index("1/10") < names.index("2/0")


def test_filters_leave_the_chosen_nets_in_tables_and_charts(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["24"])
    browser.value("(document.getElementById('outcome').focus(), 1)")
    browser.press("Down")
    chosen = browser.value("document.getElementById('outcome').value")
    assert chosen == "contract"
    seen = "[...document.querySelectorAll('{}')].filter(e => e.checkVisibility()).map(e => e.dataset.outcome || '')"
    rows = browser.value(seen.format("#nets tbody tr"))
    # The baselines stay for comparison.
    assert sorted(rows) == [""] * 4 + [chosen] * 5
    assert set(browser.value(seen.format("#chart-scores-0 [data-tip]"))) == {""}
    assert browser.value("document.getElementById('status').textContent").startswith("9 of 28 Nets shown")
    browser.press("Up")
    assert browser.value("document.getElementById('status').textContent") == "28 of 28 Nets shown"
    browser.value("(document.getElementById('family').focus(), 1)")
    browser.press("Down")
    family = browser.value("document.getElementById('family').value")
    seen = seen.replace("outcome", "family")
    assert set(browser.value(seen.format("#nets tbody tr"))) == {"", family}
    assert set(browser.value(seen.format("#families tbody tr"))) == {family}


def test_marks_say_what_they_are_under_the_pointer_and_by_the_arrow_keys(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.show(pages["24"])
    tip = "(t => [t.hidden, t.textContent])(document.getElementById('tip'))"
    assert browser.value(tip) == [True, ""]
    browser.at("#chart-best-0 .mark")
    hidden, words = browser.value(tip)
    assert not hidden and words == browser.value("document.querySelector('#chart-best-0 .mark').dataset.tip")
    box = browser.value(
        "(b => [b.left, b.top, b.right, b.bottom])(document.getElementById('tip').getBoundingClientRect())"
    )
    assert min(box) >= 0 and box[2] <= 1280 and box[3] <= 900
    browser.pointer(x=640, y=5)
    assert browser.value(tip)[0]
    browser.value("(document.getElementById('chart-scores-0').focus(), 1)")
    said = []
    for key in ("Right", "Right", "Left"):
        browser.press(key)
        said.append(browser.value(tip))
        assert said[-1][1] == browser.value("document.getElementById('spoken').textContent")
    assert said[0] == said[2] != said[1] and not said[0][0] and "bleu-4" in said[0][1]
    browser.press("Escape")
    assert browser.value(tip)[0]


def test_charts_can_be_put_in_another_order(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["24"])
    for chart, key in (
        ("chart-success", "-Number(e.dataset.value)"),
        ("chart-scores-0", "Number(e.getAttribute('cy'))"),
    ):
        browser.value(f"(document.querySelector('figure:has(#{chart}) select').focus(), 1)")
        given = browser.value(f"[...document.querySelectorAll('#{chart} :is(.row, .in-order)')].map(e => {key})")
        browser.press("Down")
        by_place = "(e.getBoundingClientRect().left + 10 * e.getBoundingClientRect().top * e.matches('.row'))"
        found = browser.value(
            f"[...document.querySelectorAll('#{chart} :is(.row, .in-order)')].sort((a, b) => (e => {by_place})(a)"
            f" - (e => {by_place})(b)).map(e => {key})"
        )
        assert found == sorted(given) != given, chart


def luminance(colour: list[int]) -> float:
    """Relative luminance, after WCAG 2."""
    parts = [value / 255 for value in colour[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: list[int], other: list[int]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


COLOURS = """(() => {
  const rgb = (element, key) => getComputedStyle(element)[key].match(/\\d+/g).map(Number);
  const one = (selector) => rgb(document.querySelector(selector), 'color');
  return {paper: rgb(document.body, 'backgroundColor'), soft: rgb(document.querySelector('.facts div'), 'backgroundColor'),
    text: ['body', 'a', '.note', 'caption', '.facts dt', 'thead th', 'select'].map(one),
    marks: [...document.querySelectorAll('.chart .mark, .swatch')].map(mark => rgb(mark, 'color'))};
})()"""


@pytest.mark.parametrize("system", ["light", "dark"])
def test_colours_follow_the_system_and_the_button_and_are_readable(
    browser: Browser, pages: dict[str, Path], request: pytest.FixtureRequest, system: str
) -> None:
    if system == "dark":
        browser = Browser("dark")
        request.addfinalizer(browser.end)
    browser.show(pages["24"])
    papers = []
    for _ in range(2):
        found = browser.value(COLOURS)
        papers.append(luminance(found["paper"]))
        assert min(contrast(text, found[under]) for text in found["text"] for under in ("paper", "soft")) >= 4.5
        assert min(contrast(mark, found["paper"]) for mark in found["marks"]) >= 3
        browser.at("#theme", click=True)
    light, dark = papers if system == "light" else papers[::-1]
    assert light > 0.8 and dark < 0.05


def test_a_keyboard_and_a_screen_reader_find_everything(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["24"])
    roles = browser.value("['header', 'nav', 'main', 'form'].map(tag => document.querySelector(tag).computedRole)")
    assert roles == ["banner", "navigation", "main", "form"]
    headings = browser.value("[...document.querySelectorAll('h1, h2, h3')].map(h => h.tagName)")
    assert headings[0] == "H1" and set(headings[1:]) == {"H2"}
    tables = browser.value(
        "[...document.querySelectorAll('table')].map(t => [t.computedName, t.caption.textContent.trim(),"
        " [...t.querySelectorAll('th')].every(h => h.scope), t.parentNode.computedRole, t.parentNode.computedName])"
    )
    assert len(tables) >= 13
    for name, caption, scoped, role, region in tables:
        assert name == caption == region and caption and scoped and role == "region"
    unnamed = (
        "[...document.querySelectorAll('a, button, select, [tabindex=\"0\"]')].filter(e => !e.computedName).length"
    )
    assert browser.value(unnamed) == 0
    sections = browser.value("[...document.querySelectorAll('section')].map(s => s.computedName)")
    assert len(sections) == len(set(sections)) == 15 and all(sections)
    # The first stop of Tab leads past the head, and every stop can be seen.
    browser.press("Tab")
    assert browser.value("document.activeElement.textContent") == "Skip to the results"
    assert browser.value("document.activeElement.getBoundingClientRect().left >= 0")
    browser.press("Return", "Tab")
    assert browser.value("document.querySelector('main').contains(document.activeElement)")
    stops = set()
    for _ in range(12):
        tag, outline = browser.value("(e => [e.tagName, getComputedStyle(e).outlineStyle])(document.activeElement)")
        assert outline != "none", f"<{tag}> does not show that it has the focus"
        stops.add(tag)
        browser.press("Tab")
    assert stops >= {"BUTTON", "DIV", "svg"}
