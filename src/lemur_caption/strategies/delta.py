"""The `delta` strategy: the language model answers with a unified diff against the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..candidate import Candidate, SourcePass
from ..generator.base import Generator
from ..prompt.delta_prompt import delta_prompt, shown
from ..source.patch import apply_patch, parse_patch
from .asking import Answer, Draft, answered, draft
from .base import Check, Request
from .finish import MARKUP_TOKENS, Finisher, Reading, after_fixups, read_code

PROMPT_TOKENS = 16_000
# A diff is shorter than a Net, but a model that thinks does so first.
ANSWER_TOKENS = 4096
ANSWER_SHARE = 3 / 8


def delta_candidates(
    generator: Generator,
    requests: Iterable[tuple[int, Request]],
    pool: Sequence[tuple[str, str]],
    check: Check,
    known: Iterable[str] = (),
) -> Iterator[Candidate]:
    """Candidates that the model made by changing the baseline; see `Strategy`.

    An answer's diff is applied whole or not at all: where a hunk is refused, the candidate ends as `no_code`, and its pass
    `patch` says what happened to each hunk. A whole Net in place of a diff is taken as such. A repair may be either, too.
    Raises UsageError where the pool has too few snippets or the model's context does not hold the baseline.
    """
    finisher = Finisher(generator, check, set(known), read_delta)

    def make(index: int, request: Request) -> Draft:
        # A diff that changes nothing, or nothing but white space, gives the baseline.
        finisher.remember(request, shown(request.baseline_source))
        answer_tokens = request.answer_tokens or min(ANSWER_TOKENS, int(generator.context_length * ANSWER_SHARE))
        return draft(
            "delta",
            index,
            request,
            generator,
            pool,
            delta_prompt,
            answer_tokens,
            min(PROMPT_TOKENS, generator.context_length - answer_tokens - MARKUP_TOKENS),
            size=request.size,
        )

    for asked, answer in answered(generator, requests, make):
        finisher.finish(asked, read_delta(answer, shown(asked.request.baseline_source)))
        yield asked.candidate


def read_delta(answer: Answer, sent: str) -> Reading:
    """The source `sent` with the diff in an answer applied, or the whole Net that it holds instead, after the fix-ups."""
    if answer.note and not answer.text:
        return Reading(None, answer.note)
    patch = parse_patch(answer.text, cut_off=bool(answer.note))
    if patch.new_file is not None:
        return after_fixups(SourcePass("patch", patch.new_file, "the diff adds a whole file"))
    if not patch.hunks and not patch.notes:
        reading = read_code(answer)
        passes = [SourcePass(each.name, each.source, f"no diff; {each.note}") for each in reading.passes[:1]]
        return Reading(reading.source, f"no diff; {reading.note}", passes + reading.passes[1:])
    patched = apply_patch(patch, sent)
    note = f"{patched.note}; {answer.note}" if answer.note else patched.note
    if patched.source is None or not patch.hunks:
        return Reading(None, note, [SourcePass("patch", "", note)])
    return after_fixups(SourcePass("patch", patched.source, note))
