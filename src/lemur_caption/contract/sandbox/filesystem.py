"""Read-only file system but for named folders, with Landlock."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from pathlib import Path

# What Python and torch read while they run. Nothing here belongs to a person.
SYSTEM_READABLE = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys",
    "/sys/devices/system",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
)
SYSTEM_WRITABLE = ("/dev/null",)


def python_readable() -> list[str]:
    """The folders that this interpreter imports from."""
    prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    return prefixes + [entry for entry in sys.path if entry and Path(entry).is_absolute()]


def restrict_files(readable: Iterable[str], writable: Iterable[str], execute: bool) -> bool | str:
    """Let this process (and its children) read and write only there. Cannot be undone.

    Returns True, or why it is not in force. Call it in a process of one thread.
    """
    try:
        from landlock import FSAccess, LandlockError, Ruleset
    except ImportError:
        return "the package landlock is not installed"

    ctypes.set_errno(0)  # the package takes a stale errno for a failure
    try:
        rules = Ruleset()
        read = FSAccess.READ_FILE | (FSAccess.EXECUTE if execute else FSAccess(0))
        every = FSAccess.all() & ~FSAccess.MAKE_CHAR & ~FSAccess.MAKE_BLOCK
        grants = [(path, read, read | FSAccess.READ_DIR) for path in [*SYSTEM_READABLE, *python_readable(), *readable]]
        if execute:
            grants += [(path, read, read | FSAccess.READ_DIR) for path in ("/bin", "/sbin")]
        grants += [(path, every & FSAccess.all_file(), every) for path in [*SYSTEM_WRITABLE, *writable]]
        for path, for_file, for_folder in dict.fromkeys(grants):
            here = Path(path)
            if here.exists():
                rules.allow(path, rules=for_folder if here.is_dir() else for_file)
        rules.apply()
    except (LandlockError, OSError) as error:
        return f"refused by the kernel ({getattr(error, 'strerror', None) or error})"
    return True
