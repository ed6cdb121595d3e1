"""What can go wrong, as a class and an exit code.

A person sees `str(error)`: one line that says what happened and what to do. A program
catches the class, or reads the exit code: 1 where a candidate or the machine failed,
2 where the call itself must change.
"""

import errno

# What a full or read-only disk raises, as `OSError.errno`, and in words.
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
}


class LemurCaptionError(Exception):
    """Base of every error that lemur-caption raises on purpose."""

    exit_code = 1


class UsageError(LemurCaptionError):
    """The call cannot work as it stands: an unknown name, a wrong option, an unusable folder."""

    exit_code = 2


class DatasetError(UsageError):
    """A caption folder is missing, empty or damaged."""


class GeneratorError(LemurCaptionError):
    """A language model could not be loaded, or gave no answer."""


class StoreError(LemurCaptionError):
    """LEMUR's root or its SQLite store cannot be opened or written."""


class TrialError(LemurCaptionError):
    """A training trial ended without a result for a reason that lies outside the Net."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its class where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
