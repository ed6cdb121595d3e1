"""The prompts of the `code` strategy: one for a whole Net, one to repair a Net that breaks the contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lemur_caption.contract.report import Finding
from lemur_caption.errors import UsageError
from lemur_caption.generator.base import Prompt
from lemur_caption.prompt.render import cut, cut_snippets, fitted, render_template
from lemur_caption.prompt.snippets import Snippet

# The baseline is what the model is to change: where code must be cut, it stays so many times as long as a snippet.
BASELINE_SHARE = 6
# Lines of the Net to show before and after the one that a finding names.
AROUND = 2
# A Net with more to mend than this is told the first ones: after them the rest often reads differently.
MOST_FINDINGS = 12


Template = Callable[[str, list[Snippet]], tuple[str, str]]
"""Another prompt in place of ours: the baseline's code, empty where it does not fit, and snippets to system and user text."""


@dataclass(frozen=True)
class Scale:
    """The numbers of the prompt that depend on the size of the Nets."""

    least_hidden: int
    hidden_sizes: tuple[int, ...]
    heads: tuple[int, ...]
    note: str = ""


SCALES = {
    "pocket": Scale(
        least_hidden=128,
        hidden_sizes=(192, 256),
        heads=(4, 8),
        note="Images have 64 x 64 pixels and a laptop trains the network: a few million parameters at most.",
    ),
    "full": Scale(least_hidden=640, hidden_sizes=(640, 768), heads=(8, 12)),
}


def code_prompt(
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
    template: Template | None = None,
) -> Prompt:
    """Ask for a whole Net as one Python file, starting from a baseline and inspired by snippets.

    `baseline_score` is its BLEU-4 in [0, 1], None where it has not been measured; `size` is `pocket` or `full`. `examples`
    are Nets that trained well, a line and a score each, and `avoid` says what went wrong, a line each. `template` says
    all of it in other words. System
    and user text have at most `budget_tokens` tokens together (chat markup comes on top): snippets are shortened first,
    then the baseline as well, then snippets are left out, the last first, at last the baseline. The prompt's
    `dropped` says what went. Raises UsageError for an unknown size, and where the budget does not even hold the instructions.
    """
    if size not in SCALES:
        raise UsageError(f"unknown size {size!r}: choose {' or '.join(SCALES)}")
    system = render_template("code/system.jinja")

    def shortened(count: int, snippet_size: int | None, baseline_size: int | None) -> Prompt:
        """The prompt with `count` snippets; code is cut to so many characters, or whole where that is None."""
        notes: list[str] = []
        baseline = cut(f"baseline {baseline_name}", baseline_source, baseline_size, notes, True)
        shown = cut_snippets(snippets, count, snippet_size, notes)
        if template is not None:
            return Prompt(*template(baseline, shown), tuple(notes))
        context = {"name": baseline_name, "score": baseline_score, "code": baseline} if baseline else None
        user = render_template(
            "code/user.jinja", baseline=context, snippets=shown, scale=SCALES[size], examples=examples, avoid=avoid
        )
        return Prompt(system, user, tuple(notes))

    return fitted(shortened, len(snippets), BASELINE_SHARE, budget_tokens, count_tokens)


def repair_prompt(code: str, findings: Sequence[Finding]) -> Prompt:
    """Send a Net back with what the contract says of it: each finding, its hint, and the lines of code it is about."""
    errors = [finding for finding in findings if finding.severity == "error"]
    told = [
        {
            "message": finding.message,
            "hint": finding.hint,
            "line": finding.line,
            "lines": _lines_around(code, finding.line),
        }
        for finding in errors[:MOST_FINDINGS]
    ]
    dropped = tuple(f"finding {finding.rule} {finding.message}" for finding in errors[MOST_FINDINGS:])
    user = render_template("code/repair.jinja", code=code.rstrip() + "\n", findings=told)
    return Prompt(render_template("code/system.jinja"), user, dropped)


def _lines_around(code: str, line: int | None) -> list[str]:
    """The numbered lines around `line` (from 1), itself marked; empty where no line is to blame."""
    lines = code.splitlines()
    if line is None or not 1 <= line <= len(lines):
        return []
    first, last = max(line - AROUND, 1), min(line + AROUND, len(lines))
    return [f"{'>' if number == line else ' '} {number:4} {lines[number - 1]}" for number in range(first, last + 1)]
