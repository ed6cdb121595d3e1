"""How much a sandboxed process may use, and what it may reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """What one candidate may use. None means no limit.

    `wall_s` and `cpu_s` are seconds, `memory_bytes` is address space beyond what the process starts with,
    `file_bytes` the size of one file, `processes` the processes and threads alive at once,
    `parameters` the trainable and frozen parameters of a Net (only the contract asks).
    `memory_bytes` must be None where CUDA is used: it reserves far more address space than it fills.
    """

    wall_s: float = 30.0
    cpu_s: float | None = 60.0
    memory_bytes: int | None = 4 * GIB
    file_bytes: int | None = 64 * MIB
    open_files: int | None = 256
    processes: int = 64
    parameters: int = 200_000_000

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Policy:
    """What a sandboxed process may reach. The default is nothing but its own Python installation, to read.

    `readable` and `writable` are files and folders beside it. `processes` lets it start programs (LEMUR runs
    pylint), `network` lets it open sockets. `fatal` ends the process at a forbidden system call; otherwise the
    call fails with EPERM. `audit` adds the hook that names what was tried; the tests prove the kernel's walls without it.
    """

    limits: Limits = field(default_factory=Limits)
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    processes: bool = False
    network: bool = False
    fatal: bool = True
    audit: bool = True

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Policy:
        values = dict(values)
        values["limits"] = Limits(**values["limits"])
        values["readable"], values["writable"] = tuple(values["readable"]), tuple(values["writable"])
        return cls(**values)
