"""The `blocks` strategy: the model writes the encoder and the decoder, and the Net around them is ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..candidate import Candidate, SourcePass
from ..generator.base import Generator
from ..prompt.blocks_prompt import blocks_prompt
from ..source.extraction import extract
from ..source.fixups import SYNTAX_PASSES, apply_fixups
from ..source.skeleton import assemble, complete_roles, is_net, own_blocks
from .asking import Answer, Draft, answered, draft
from .base import Check, Request
from .finish import Finisher, Reading, after_fixups, as_passes, read_code

PROMPT_TOKENS = 16_000
# Two classes have about 700 tokens; a model that thinks first needs many more.
ANSWER_TOKENS = 4096
# A small model has little context and loses the question in a long prompt: with two thirds of its context full,
# SmolLM2 answers in no language at all.
SHARE = 1 / 4
_FENCE = re.compile(r"^[ \t>]*(?:`{3,}|~{3,}).*$", re.MULTILINE)
_THOUGHT = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)


def blocks_candidates(
    generator: Generator,
    requests: Iterable[tuple[int, Request]],
    pool: Sequence[tuple[str, str]],
    check: Check,
    known: Iterable[str] = (),
) -> Iterator[Candidate]:
    """Candidates whose encoder and decoder the model wrote; see `Strategy`.

    An answer with one of the two gets the other from the skeleton, as its trail says; one with neither ends its candidate as
    `no_code`, one that repeats the prompt's example as `duplicate`. A repair may answer with the whole Net or with
    the classes that it changes. Raises UsageError as `code_candidates` does.
    """
    finisher = Finisher(generator, check, set(known), read_repair)

    def make(index: int, request: Request) -> Draft:
        for source in (request.baseline_source, assemble(own_blocks(), request.size).source):
            finisher.remember(request, source or "")
        answer_tokens = request.answer_tokens or min(ANSWER_TOKENS, int(generator.context_length * SHARE))
        return draft(
            "blocks",
            index,
            request,
            generator,
            pool,
            blocks_prompt,
            answer_tokens,
            min(PROMPT_TOKENS, int(generator.context_length * SHARE)),
            size=request.size,
        )

    for asked, answer in answered(generator, requests, make):
        finisher.finish(asked, read_blocks(answer, asked.request.size))
        yield asked.candidate


def read_blocks(answer: Answer, size: str = "pocket", earlier: str = "") -> Reading:
    """The Net around the classes in an answer, after the fix-ups; `earlier` as `assemble` has it."""
    if answer.note and not answer.text:
        return Reading(None, answer.note)
    code, note = _code(answer.text)
    note = f"{note}; {answer.note}" if answer.note else note
    if code is None:
        return Reading(None, note)
    mended = apply_fixups(code, SYNTAX_PASSES)
    assembled = assemble(mended.code, size, earlier)
    if assembled.source is None:
        return Reading(None, f"{assembled.note}; {note}")
    return after_fixups(
        SourcePass("extraction", code, note),
        *as_passes(mended),
        SourcePass("skeleton", assembled.source, assembled.note),
    )


def read_repair(answer: Answer, source: str) -> Reading:
    """A repair that answers with the whole Net, or with classes that take the place of the Net's."""
    code = extract(answer.text).code
    if code is not None and is_net(code):
        return read_code(answer)
    return read_blocks(answer, earlier=source)


def _code(text: str) -> tuple[str | None, str]:
    """The code in an answer, None where there is none, and what was found; several blocks together where one lacks a class."""
    found = extract(text)
    if found.code is None or found.candidates < 2 or complete_roles(found.code) == 2:
        return found.code, found.note
    parts = [extract(part).code for part in _FENCE.split(_THOUGHT.sub("", text))]
    together = "\n\n\n".join(apply_fixups(part, SYNTAX_PASSES).code for part in parts if part is not None)
    if complete_roles(together) <= complete_roles(found.code):
        return found.code, found.note
    return together, f"the classes of {found.candidates} blocks of code together"
