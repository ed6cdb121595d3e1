"""The prompt of the `delta` strategy: change the baseline by a unified diff."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence

from lemur_caption.errors import UsageError
from lemur_caption.generator.base import Prompt
from lemur_caption.prompt.code_prompt import SCALES
from lemur_caption.prompt.render import SIZES, cut_snippets, render_template
from lemur_caption.prompt.snippets import Snippet


def shown(source: str) -> str:
    """The Net as the prompt shows it, which the diff is then against."""
    return source.strip() + "\n"


def delta_prompt(
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
    """Ask for a unified diff against the baseline, inspired by snippets.

    The parameters are those of `code_prompt`. System and user text have at most `budget_tokens` tokens together (chat
    markup comes on top). The baseline is always whole: a diff against half a Net means nothing. Snippets are shortened,
    then left out, the last first; the prompt's `dropped` says so. Raises UsageError for an unknown size, and where the budget
    does not hold baseline and instructions.
    """
    if size not in SCALES:
        raise UsageError(f"unknown size {size!r}: choose {' or '.join(SCALES)}")
    system = render_template("delta/system.jinja")
    baseline = {"name": baseline_name, "score": baseline_score, "code": shown(baseline_source)}

    def shortened(count: int, characters: int | None) -> tuple[Prompt, int]:
        """The prompt with `count` snippets, each cut to so many characters or whole, and its tokens."""
        notes: list[str] = []
        kept = cut_snippets(snippets, count, characters, notes)
        user = render_template(
            "delta/user.jinja", baseline=baseline, snippets=kept, scale=SCALES[size], examples=examples, avoid=avoid
        )
        return Prompt(system, user, tuple(notes)), count_tokens(system) + count_tokens(user)

    prompt, needed = shortened(len(snippets), None)
    if needed <= budget_tokens:
        return prompt
    for count in range(len(snippets), 0, -1):
        if shortened(count, SIZES[0])[1] <= budget_tokens:
            low = bisect(SIZES, budget_tokens, lo=1, key=lambda characters: shortened(count, characters)[1])
            return shortened(count, SIZES[low - 1])[0]
    prompt, needed = shortened(0, None)
    if needed <= budget_tokens:
        return prompt
    raise UsageError(
        f"a diff needs the whole baseline: {needed} tokens with the instructions, and the budget is {budget_tokens}; "
        "take a model with more context, or the design strategy"
    )
