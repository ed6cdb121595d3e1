"""Diffs as language models write them: read with patience, applied with none.

Nothing about the form of a diff is relied on (line numbers, counts, file names, the space before a context line), and
everything about its meaning is: a hunk is applied where its lines stand and nowhere else.
"""

from lemur_caption.source.patch.apply import Patched, apply_patch
from lemur_caption.source.patch.parse import Hunk, Patch, PatchLine, parse_patch

__all__ = ["Hunk", "Patch", "PatchLine", "Patched", "apply_patch", "parse_patch"]
