"""Headless Chromium (PySide6's QtWebEngine) as a child process: a JSON request a line in, a JSON reply a line out.

`python browser.py dark` is the browser of a person whose system is dark.

Keys and the pointer are Qt's own events, which a page cannot tell from a person's.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# Chromium refuses its own sandbox as root, and without a GPU draws in software; names and roles as a screen reader gets them.
FLAGS = "--no-sandbox --disable-gpu --disable-dev-shm-usage --enable-blink-features=ComputedAccessibilityInfo"
DARK = "--blink-settings=preferredColorScheme=0"
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = f"{FLAGS} {DARK}" if "dark" in sys.argv[1:] else FLAGS

from PySide6.QtCore import QPoint, Qt, QUrl  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402
from PySide6.QtWebEngineCore import (  # noqa: E402
    QWebEnginePage,
    QWebEngineProfile,
    QWebEngineUrlRequestInfo,
    QWebEngineUrlRequestInterceptor,
)
from PySide6.QtWebEngineWidgets import QWebEngineView  # noqa: E402
from PySide6.QtWidgets import QApplication  # noqa: E402


class Requests(QWebEngineUrlRequestInterceptor):
    """Keeps every address that the page asks for; images inside the page are no requests."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def interceptRequest(self, info: QWebEngineUrlRequestInfo) -> None:
        if info.requestUrl().scheme() != "data":
            self.seen.append(info.requestUrl().toString())


class Page(QWebEnginePage):
    def __init__(self, profile: QWebEngineProfile, view: QWebEngineView) -> None:
        super().__init__(profile, view)
        self.console: list[str] = []

    def javaScriptConsoleMessage(self, level: object, message: str, line: int, source: str) -> None:
        self.console.append(f"{message} (line {line})")

    def javaScriptAlert(self, origin: QUrl, message: str) -> None:
        self.console.append(f"ALERT {message}")


class Browser:
    def __init__(self) -> None:
        self.profile, self.requests = QWebEngineProfile(), Requests()
        self.profile.setUrlRequestInterceptor(self.requests)
        self.view = QWebEngineView()
        self.page = Page(self.profile, self.view)
        self.view.setPage(self.page)
        self.loaded: list[bool] = []
        self.page.loadFinished.connect(self.loaded.append)

    def open(self, path: str, width: int, height: int) -> dict[str, Any]:
        """Load a file in a window of this size; what it asked for and printed from then on is kept."""
        self.requests.seen.clear()
        self.page.console.clear()
        self.view.resize(width, height)
        self.view.show()
        self.loaded.clear()
        self.view.load(QUrl.fromLocalFile(path))
        until(self.loaded)
        self.view.focusProxy().setFocus()
        return {"loaded": self.loaded == [True]}

    def js(self, code: str) -> dict[str, Any]:
        """The value of an expression as JSON carries it, or what went wrong with it."""
        told = f"try {{ told = {{value: ({code})}} }} catch (error) {{ told = {{error: String(error)}} }}"
        found: list[str] = []
        self.page.runJavaScript(f"(() => {{ let told; {told} return JSON.stringify(told); }})()", 0, found.append)
        until(found)
        return json.loads(found[0])

    def keys(self, names: list[str]) -> dict[str, Any]:
        """Press keys by Qt's names: `Tab`, `Right`, `Return`, `Escape`."""
        for name in names:
            QTest.keyClick(self.view.focusProxy(), getattr(Qt.Key, f"Key_{name}"))
            QTest.qWait(40)
        return {}

    def pointer(self, x: float, y: float, click: bool = False) -> dict[str, Any]:
        """Move the pointer to a place of the window, and click there."""
        target, place = self.view.focusProxy(), QPoint(round(x), round(y))
        QTest.mouseMove(target, place)
        if click:
            QTest.mouseClick(target, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        QTest.qWait(80)
        return {}

    def shot(self, path: str) -> dict[str, Any]:
        """What the window shows, as a PNG."""
        QTest.qWait(300)
        return {"saved": self.view.grab().save(path)}

    def log(self) -> dict[str, Any]:
        return {"requests": self.requests.seen, "console": self.page.console}


def until(told: list[Any]) -> None:
    """Let the browser work until something is told; whoever started this process ends it where nothing ever is."""
    while not told:
        QTest.qWait(5)


def main() -> None:
    application = QApplication([sys.argv[0]])  # noqa: F841 (Qt needs it to live)
    browser = Browser()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        reply = getattr(browser, request.pop("do"))(**request)
        print(json.dumps(reply), flush=True)
    # Chromium and Python take their objects apart in orders that do not agree; there is nothing left to save.
    os._exit(0)


if __name__ == "__main__":
    main()
