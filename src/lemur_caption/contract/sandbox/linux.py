"""The few C library calls that Python itself does not offer in every supported version: unshare and prctl."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

ON_LINUX = sys.platform.startswith("linux")


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Move this process (its next children, for CLONE_NEWPID) into new namespaces. Raises OSError."""
    _check(_libc().unshare(ctypes.c_int(flags)), "unshare")


def prctl(option: int, value: int) -> None:
    """Raises OSError."""
    zero = ctypes.c_ulong(0)
    _check(_libc().prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero), "prctl")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; exit at once if that has happened already.

    `parent` is the parent's id as this process sees it, 0 where the parent is outside its PID namespace.
    """
    if not ON_LINUX:
        return
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent ends, so that none escapes by forking twice."""
    if not ON_LINUX:
        return False
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    return True


def enter_namespaces(network: bool) -> dict[str, bool | str]:
    """Give the next child a PID namespace, and this process its own network and IPC ones, where the kernel allows.

    With a PID namespace every process of the candidate ends when its first one does, and none can see, let alone
    signal, a process outside. A user namespace comes first: it needs no privilege and takes root's away.
    """
    if not ON_LINUX:
        return {"pid_namespace": "not Linux", "network_namespace": "not Linux"}
    uid, gid = os.getuid(), os.getgid()
    isolated = 0 if network else CLONE_NEWNET
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | isolated)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError as error:
        reason = f"refused by the kernel ({error.strerror})"
        return {"pid_namespace": reason, "network_namespace": reason}
    return {"pid_namespace": True, "network_namespace": True if not network else "network allowed"}


def descendants(root: int) -> list[int]:
    """Ids of all living descendants of `root`, zombies left out."""
    import psutil

    found = []
    try:
        for process in psutil.Process(root).children(recursive=True):
            try:
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return found
    return found
