"""The kernel's per-process limits."""

from __future__ import annotations

import math
import os
import resource
import sys
from pathlib import Path

from lemur_caption.contract.sandbox.limits import Limits


def limit_resources(limits: Limits, *, contained: bool) -> dict[str, bool | str]:
    """Set this process's limits, to be inherited by its children. Says for each whether it is in force.

    `contained` says that it is in a user namespace of its own, where root is bound by a number of processes too.
    """
    states: dict[str, bool | str] = {}
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    states["cpu_time"] = limits.cpu_s is not None and _limit(resource.RLIMIT_CPU, math.ceil(limits.cpu_s), 1)
    states["file_size"] = limits.file_bytes is not None and _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    states["open_files"] = limits.open_files is not None and _limit(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.memory_bytes is None:
        states["memory"] = "no limit asked for"
    elif not sys.platform.startswith("linux"):
        states["memory"] = "not Linux"
    else:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        states["memory"] = _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + limits.memory_bytes)
    if os.getuid() == 0 and not contained:
        states["process_count"] = "root is not bound by it"
    else:
        # The kernel counts all threads of a person, those of other programs too; the limit binds this one alone.
        states["process_count"] = _limit(resource.RLIMIT_NPROC, threads_of(os.getuid()) + limits.processes)
    return states


def _limit(kind: int, soft: int, grace: int = 0) -> bool | str:
    """Lower a limit; `grace` is how far the hard limit, which kills, lies above the soft one, which signals."""
    _, ceiling = resource.getrlimit(kind)
    hard = soft + grace if ceiling == resource.RLIM_INFINITY else min(soft + grace, ceiling)
    try:
        resource.setrlimit(kind, (min(soft, hard), hard))
    except (OSError, ValueError) as error:
        return f"refused by the kernel ({error})"
    return True


def threads_of(uid: int) -> int:
    """How many threads the processes of a person have."""
    import psutil

    count = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == uid:
            count += process.info["num_threads"] or 1
    return count
