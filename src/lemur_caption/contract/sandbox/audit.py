"""An audit hook that says what a candidate tried, with the line, before the kernel's walls have to.

Not a wall itself: code that reaches C goes round it. It works on any system, and no `try` of the candidate hides
what it saw.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Whatever library does it on the Net's behalf.
FORBIDDEN = {
    "os.remove": "deletes a file",
    "os.rename": "renames a file",
    "os.rmdir": "deletes a folder",
    "os.mkdir": "makes a folder",
    "os.link": "links a file",
    "os.symlink": "links a file",
    "os.truncate": "cuts a file",
    "os.chmod": "changes a file's permissions",
    "os.chown": "changes a file's owner",
    "os.utime": "changes a file's times",
    "os.setxattr": "changes a file's attributes",
    "os.removexattr": "changes a file's attributes",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.system": "starts a program",
    "os.exec": "starts a program",
    "os.posix_spawn": "starts a program",
    "os.startfile": "starts a program",
    "pty.spawn": "starts a program",
    "subprocess.Popen": "starts a program",
    "os.kill": "sends a signal",
    "os.killpg": "sends a signal",
    "signal.pthread_kill": "sends a signal",
    "sqlite3.connect": "opens a database",
    "resource.setrlimit": "changes its limits",
    "resource.prlimit": "changes its limits",
}
FORBIDDEN_PREFIXES = {
    "socket.": "opens a network connection",
    "urllib.": "opens a network connection",
    "http.": "opens a network connection",
    "ftplib.": "opens a network connection",
    "smtplib.": "opens a network connection",
    "tempfile.": "makes a temporary file",
    "shutil.": "copies or deletes files",
    "syslog.": "writes to the system's log",
}
# torch itself uses ctypes and reads files: these count where nothing but the standard library lies between.
OWN_DOING = {"open": "reads a file", "os.listdir": "lists a folder", "os.scandir": "lists a folder"}
OWN_PREFIXES = {"ctypes.": "calls into C"}


def forbid_actions(filename: str, stop: Callable[[str, int | None], None]) -> None:
    """Call `stop(what it does, line)` when code from `filename` does what a Net has no reason to. Cannot be undone."""
    frozen_import = "<frozen importlib"
    standard = str(Path(os.__file__).parent)
    packages = str(Path(standard) / "site-packages")

    def blame(own: bool) -> int | None:
        """The line of the candidate that led here; None where it is not the candidate's doing."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name == filename:
                return frame.f_lineno
            if name.startswith(frozen_import):
                return None  # what a library does while it is imported
            if own and not (name.startswith(standard) and not name.startswith(packages)):
                return None
            frame = frame.f_back
        return None

    def hook(event: str, args: tuple[Any, ...]) -> None:
        own = False
        action = FORBIDDEN.get(event)
        if action is None:
            prefix = event.partition(".")[0] + "."
            action = FORBIDDEN_PREFIXES.get(prefix)
            if action is None:
                action, own = OWN_DOING.get(event) or OWN_PREFIXES.get(prefix), True
                if action is None:
                    return
        if event == "open":
            path, mode, flags = args
            if (isinstance(flags, int) and flags & WRITING) or (isinstance(mode, str) and set(mode) & set("wax+")):
                action, own = "writes to a file", False
            if path in ("/dev/null", b"/dev/null"):
                return
            if isinstance(path, (str, bytes)):
                action = f"{action} ({os.fsdecode(path)[:200]})"
        line = blame(own)
        if line is not None:
            stop(action, line)

    sys.addaudithook(hook)
