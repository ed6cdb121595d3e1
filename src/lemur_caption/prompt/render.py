"""Prompts, rendered from `templates/prompt/` to a token budget."""

from __future__ import annotations

import json
import random
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jinja2

from lemur_caption.errors import UsageError
from lemur_caption.generator.base import Prompt
from lemur_caption.prompt.excerpt import Excerpt, excerpt
from lemur_caption.prompt.snippets import Snippet

# Characters that a snippet may have; one shorter than the first is better left out than shown.
SIZES = [int(200 * 1.15**step) for step in range(25)]
BASELINE_SHARE = 3  # the baseline, an encoder, a decoder and their Net, may be as long as three snippets


@dataclass(frozen=True)
class Field:
    """One choice of a design, its values as JSON writes them: a small model takes up the form of what it reads."""

    name: str
    choices: tuple[str, ...]
    description: str = ""


def family(k: int, baseline: str) -> str:
    """The family prefix of the Nets that are made with `k` snippets from a baseline: `family(5, "X")` is "C5C-X"."""
    return f"C{k}C-{baseline}"


def design_prompt(
    *,
    baseline_name: str,
    baseline_source: str,
    baseline_score: float | None,
    snippets: Sequence[Snippet],
    choices: Mapping[str, Any],
    budget_tokens: int,
    count_tokens: Callable[[str], int],
    examples: Sequence[tuple[str, float]] = (),
    avoid: Sequence[str] = (),
    seed: int = 0,
) -> Prompt:
    """Ask for a design under the JSON schema `choices`, starting from a baseline and inspired by snippets.

    `baseline_score` is its BLEU-4 in [0, 1], None where it has not been measured. `seed` shuffles the order in which
    each field's values are listed: a small model leans to what it reads first, and designs by other seeds shall
    differ. `examples` are designs that trained well, a line and a score each, and `avoid` says what went wrong, a line
    each. Code is cut, and at last left out, until system and user text have `budget_tokens` tokens
    together (chat markup comes on top); the prompt's `dropped` says what went. Raises UsageError where the
    budget does not even hold the question.
    """
    fields = _fields(choices, random.Random(seed))
    system = render_template("system.jinja")

    def shortened(count: int, size: int | None) -> tuple[Prompt, int]:
        """The prompt with `count` snippets, code cut to `size` characters or whole, and its tokens."""
        notes: list[str] = []
        baseline = cut(f"baseline {baseline_name}", baseline_source, size and size * BASELINE_SHARE, notes, True)
        shown = cut_snippets(snippets, count, size, notes)
        context = {"name": baseline_name, "score": baseline_score, "code": baseline} if baseline else None
        user = render_template(
            "design.jinja", baseline=context, snippets=shown, fields=fields, examples=examples, avoid=avoid
        )
        return Prompt(system, user, tuple(notes)), count_tokens(system) + count_tokens(user)

    prompt, needed = shortened(len(snippets), None)
    if needed <= budget_tokens:
        return prompt
    for count in range(len(snippets), -1, -1):
        prompt, needed = shortened(count, SIZES[0])
        if needed <= budget_tokens:
            low = bisect(SIZES, budget_tokens, lo=1, key=lambda size: shortened(count, size)[1])
            return shortened(count, SIZES[low - 1])[0]
    prompt, needed = shortened(0, 0)
    if needed <= budget_tokens:
        return prompt
    raise UsageError(f"the prompt needs {needed} tokens without any code, and the budget is {budget_tokens}; raise it")


def cut_snippets(snippets: Sequence[Snippet], count: int, size: int | None, notes: list[str]) -> list[Snippet]:
    """The first `count` snippets, each cut to `size` characters or whole; `notes` gains what of all of them is missing."""
    shown = []
    for snippet in snippets[:count]:
        if code := cut(f"snippet {snippet.name}", snippet.code, size, notes):
            shown.append(Snippet(snippet.name, code))
    notes += [f"snippet {snippet.name}" for snippet in snippets[count:]]
    return shown


def cut(what: str, code: str, size: int | None, notes: list[str], keep_definitions: bool = False) -> str:
    """`code` in at most `size` characters, empty where there is no such excerpt; `notes` gains what is missing."""
    cut = excerpt(code, size, keep_definitions) if size is not None else Excerpt(code.strip() + "\n")
    if cut is None:
        notes.append(what)
        return ""
    if cut.dropped:
        notes.append(f"{what}: {'; '.join(cut.dropped)}")
    return cut.code


def fitted(
    shortened: Callable[[int, int | None, int | None], Prompt],
    snippets: int,
    baseline_share: int,
    budget_tokens: int,
    count_tokens: Callable[[str], int],
) -> Prompt:
    """The prompt with the most code that has at most `budget_tokens` tokens, system and user text together.

    `shortened(count, snippet_size, baseline_size)` makes it with `count` of `snippets` snippets, code cut to so many
    characters or whole where that is None. Snippets are shortened first, then the baseline as well, to `baseline_share`
    times as much, then snippets are left out, the last first, at last the baseline. Raises UsageError where the
    budget does not even hold the instructions.
    """

    def needed(prompt: Prompt) -> int:
        return count_tokens(prompt.system) + count_tokens(prompt.user)

    def largest(make: Callable[[int], Prompt]) -> Prompt | None:
        """The prompt with the longest code that fits; None where not even the shortest code does."""
        if needed(make(SIZES[0])) > budget_tokens:
            return None
        low = bisect(SIZES, budget_tokens, lo=1, key=lambda characters: needed(make(characters)))
        return make(SIZES[low - 1])

    def all_shortened(count: int, characters: int) -> Prompt:
        return shortened(count, characters, characters * baseline_share)

    if needed(prompt := shortened(snippets, None, None)) <= budget_tokens:
        return prompt
    if found := largest(lambda characters: shortened(snippets, characters, None)):
        return found
    for count in range(snippets, -1, -1):
        if found := largest(partial(all_shortened, count)):
            return found
    bare = shortened(0, None, 0)
    if needed(bare) <= budget_tokens:
        return bare
    raise UsageError(
        f"the prompt needs {needed(bare)} tokens without any code, and the budget is {budget_tokens}; raise it"
    )


def _fields(schema: Mapping[str, Any], order: random.Random) -> list[Field]:
    """The choices of a JSON schema whose properties are enumerations; those with one value alone ask nothing."""
    fields = []
    for name, entry in schema["properties"].items():
        values = [json.dumps(value) for value in entry["enum"]]
        order.shuffle(values)
        if len(values) > 1:
            fields.append(Field(name, tuple(values), entry.get("description", "")))
    return fields


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("lemur_caption", "templates/prompt"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # prompts are text; nothing here is HTML
    )


def render_template(template: str, **context: Any) -> str:
    return _templates().get_template(template).render(context).strip()
