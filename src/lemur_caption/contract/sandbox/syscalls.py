"""No new processes, no network, no reaching into other processes, with a seccomp filter."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator
from typing import Any

CLONE_THREAD = 0x00010000

PROCESS_CALLS = ("fork", "vfork", "setsid", "setpgid")
PROGRAM_CALLS = ("execve", "execveat")
NETWORK_CALLS = ("socket", "connect", "bind", "listen", "accept", "accept4")
# Ways into another process, the kernel or the machine, and changes of files that Landlock does not govern.
ALWAYS = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kcmp"),
    *("mount", "umount2", "move_mount", "open_tree", "fsopen", "pivot_root", "chroot", "setns", "unshare"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("keyctl", "add_key", "request_key", "init_module", "finit_module", "delete_module", "kexec_load"),
    *(
        "reboot",
        "swapon",
        "swapoff",
        "sethostname",
        "setdomainname",
        "settimeofday",
        "clock_settime",
        "acct",
        "quotactl",
    ),
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset"),
)
METADATA_CALLS = (
    *(
        "chmod",
        "fchmod",
        "fchmodat",
        "chown",
        "fchown",
        "lchown",
        "fchownat",
        "utime",
        "utimes",
        "utimensat",
        "futimesat",
    ),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "mknod", "mknodat"),
)


@functools.cache
def library() -> Any:
    """The module pyseccomp, or why there is none. Finding its C library starts programs: call this before any wall is up."""
    try:
        import pyseccomp
    except ImportError:
        return "the package pyseccomp is not installed"
    except (OSError, RuntimeError, AttributeError) as error:
        return f"the library libseccomp is missing ({error})"
    return pyseccomp


def restrict_calls(*, processes: bool, execute: bool, network: bool, writes: bool, fatal: bool) -> bool | str:
    """Forbid system calls to this process and its children. Cannot be undone.

    `fatal` ends the process (SIGSYS) at a forbidden call, so that no `try` hides it; otherwise the call fails
    with EPERM. `execute` lets a process replace its own program. Threads stay allowed. Returns True, or why it is not in force.
    """
    pyseccomp = library()
    if isinstance(pyseccomp, str):
        return pyseccomp
    act = pyseccomp.KILL_PROCESS if fatal else pyseccomp.ERRNO(errno.EPERM)
    own = os.getpid()
    try:
        rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)

        def forbid(call: str, *where: object, action: int = act) -> None:
            try:
                rules.add_rule(action, call, *where)
            except (OSError, ValueError):  # a call that this kernel or processor does not have needs no rule
                missing.append(call)

        missing: list[str] = []
        for call in _plain(processes, execute, network, writes):
            forbid(call)
        if not processes:
            # Old libraries start threads with clone, so only its use for a process is forbidden; clone3 hides its
            # flags in memory: say that it does not exist, and the C library falls back to clone.
            forbid("clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, 0))
            forbid("clone3", action=pyseccomp.ERRNO(errno.ENOSYS))
            for call in ("kill", "tgkill"):
                forbid(call, pyseccomp.Arg(0, pyseccomp.NE, own))
            for call in ("rt_sigqueueinfo", "rt_tgsigqueueinfo", "tkill"):
                forbid(call)
            # Reading a limit passes no new one.
            forbid("prlimit64", pyseccomp.Arg(2, pyseccomp.NE, 0))
            forbid("setrlimit")
        rules.load()
    except OSError as error:
        return f"refused by the kernel ({error.strerror or error})"
    return True


def _plain(processes: bool, execute: bool, network: bool, writes: bool) -> Iterator[str]:
    yield from ALWAYS
    if not processes:
        yield from PROCESS_CALLS
    if not execute:
        yield from PROGRAM_CALLS
    if not network:
        yield from NETWORK_CALLS
    if not writes:
        yield from METADATA_CALLS
