"""Fix-ups: named passes that mend what language models get wrong in every tenth answer.

Each pass is a function from source to source; its docstring says what it does and why. Passes that mend syntax leave code
alone that parses; the others change only code that does. `apply_fixups` runs them and keeps what each one made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lemur_caption.source.fixups.brackets import balance_brackets
from lemur_caption.source.fixups.device import follow_device
from lemur_caption.source.fixups.headers import add_missing_colons, finish_try
from lemur_caption.source.fixups.hyperparameters import overwrite_hyperparameters
from lemur_caption.source.fixups.imports import add_missing_imports, import_nn_once
from lemur_caption.source.fixups.layout import align_blocks, cut_unfinished, expand_tabs, fill_empty_bodies
from lemur_caption.source.fixups.marks import plain_characters, strip_marks
from lemur_caption.source.fixups.scan import parse

__all__ = ["MAX_CHARACTERS", "PASSES", "SYNTAX_PASSES", "AppliedPass", "FixedSource", "Pass", "apply_fixups"]

# The longest Net that LEMUR 2.1.2 ships has 178 kB.
MAX_CHARACTERS = 200_000


@dataclass(frozen=True)
class Pass:
    """One fix-up. `apply` returns the code unchanged where there is nothing to mend."""

    name: str
    apply: Callable[[str], str]

    @property
    def why(self) -> str:
        """What the pass does and why, as its docstring says."""
        return self.apply.__doc__ or ""


@dataclass(frozen=True)
class AppliedPass:
    """A pass that changed the source. `code` is what it made of it.

    `undone` marks a pass whose result was thrown away, because the source parsed before it and not after.
    """

    name: str
    code: str
    undone: bool = False


@dataclass(frozen=True)
class FixedSource:
    """The source after all passes, and the passes that changed something, in order."""

    code: str
    applied: tuple[AppliedPass, ...] = ()

    @property
    def parses(self) -> bool:
        return parse(self.code) is not None


SYNTAX_PASSES = (
    Pass("marks", strip_marks),
    Pass("characters", plain_characters),
    Pass("tabs", expand_tabs),
    Pass("unfinished", cut_unfinished),
    Pass("missing-colon", add_missing_colons),
    Pass("brackets", balance_brackets),
    Pass("indentation", align_blocks),
    Pass("empty-body", fill_empty_bodies),
    Pass("unfinished-try", finish_try),
)
PASSES: tuple[Pass, ...] = (
    *SYNTAX_PASSES,
    Pass("device", follow_device),
    Pass("missing-imports", add_missing_imports),
    Pass("nn-import", import_nn_once),
    Pass("hyperparameters", overwrite_hyperparameters),
)


def apply_fixups(code: str, passes: tuple[Pass, ...] = PASSES) -> FixedSource:
    """Run the passes in order, each on what the one before it left.

    Never raises, and never makes things worse: a pass after which source that parsed no longer does is undone, and
    recorded as such. Source longer than MAX_CHARACTERS is no Net and comes back as it is.
    """
    applied: list[AppliedPass] = []
    if len(code) > MAX_CHARACTERS:
        return FixedSource(code)
    for each in passes:
        try:
            mended = each.apply(code)
        except (RecursionError, MemoryError):
            # Code nested beyond what Python can walk is past mending; the contract reports it.
            applied.append(AppliedPass(each.name, code, undone=True))
            continue
        if mended == code:
            continue
        undone = parse(code) is not None and parse(mended) is None
        applied.append(AppliedPass(each.name, mended, undone))
        code = code if undone else mended
    return FixedSource(code, tuple(applied))
