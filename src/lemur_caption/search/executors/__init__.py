"""Where trials run: one interface, a module for each kind of machine."""

from .base import Executor, Task
from .local import LocalExecutor

__all__ = ["Executor", "LocalExecutor", "Task"]
