"""The prompt of the `blocks` strategy: for an encoder and a decoder, two classes under a narrow interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lemur_caption.errors import UsageError
from lemur_caption.generator.base import Prompt
from lemur_caption.prompt.render import cut, cut_snippets, fitted, render_template
from lemur_caption.prompt.snippets import Snippet
from lemur_caption.source.skeleton import HIDDEN_SIZES, blocks_of, own_blocks

# The baseline's two classes stay so many times as long as a snippet.
BASELINE_SHARE = 3
HEADS = {"pocket": (4, 8), "full": (8, 12)}


def blocks_prompt(
    *,
    baseline_name: str,
    baseline_source: str,
    baseline_score: float | None,
    snippets: Sequence[Snippet],
    size: str,
    budget_tokens: int,
    count_tokens: Callable[[str], int],
    examples: Sequence[tuple[str, float]] = (),
    avoid: Sequence[str] = (),
) -> Prompt:
    """Ask for the classes Encoder and Decoder, starting from a baseline's and inspired by snippets.

    The arguments are those of `code_prompt`, and so is what goes where the budget is short. Of the baseline the encoder
    and the decoder are shown, all of it where it has no such classes; the skeleton's own pair is the example of an answer.
    Raises UsageError for an unknown size, and where the budget does not even hold the instructions.
    """
    if size not in HIDDEN_SIZES:
        raise UsageError(f"unknown size {size!r}: choose {' or '.join(HIDDEN_SIZES)}")
    system = render_template("blocks/system.jinja")
    baseline = blocks_of(baseline_source) or baseline_source

    def shortened(count: int, snippet_size: int | None, baseline_size: int | None) -> Prompt:
        notes: list[str] = []
        code = cut(f"baseline {baseline_name}", baseline, baseline_size, notes, True)
        shown = cut_snippets(snippets, count, snippet_size, notes)
        user = render_template(
            "blocks/user.jinja",
            baseline={"name": baseline_name, "score": baseline_score, "code": code} if code else None,
            snippets=shown,
            hidden_size=HIDDEN_SIZES[size],
            heads=HEADS[size],
            example=own_blocks().rstrip(),
            examples=examples,
            avoid=avoid,
        )
        return Prompt(system, user, tuple(notes))

    return fitted(shortened, len(snippets), BASELINE_SHARE, budget_tokens, count_tokens)
