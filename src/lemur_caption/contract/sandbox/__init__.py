"""Runs code that nobody has read, in a process that can do nothing but compute.

`run` and `start` put a program into the sandbox, under a `Policy`; `kill_group` ends one. `supervise` does the same for
a function, in a process that exists for that alone: the contract's worker is built on it.
"""

from lemur_caption.contract.sandbox.limits import Limits, Policy
from lemur_caption.contract.sandbox.process import Finished, SandboxedProcess, clean_environment, kill_group, run, start

__all__ = ["Finished", "Limits", "Policy", "SandboxedProcess", "clean_environment", "kill_group", "run", "start"]
