"""Whether a Net exists already, told before anything is spent on training it."""

from .finder import Duplicate, DuplicateFinder, Level

__all__ = ["Duplicate", "DuplicateFinder", "Level"]
