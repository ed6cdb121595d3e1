"""The `code` strategy, the paper's: the language model writes a whole Net."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..candidate import Candidate
from ..generator.base import Generator
from ..prompt.code_prompt import code_prompt
from .asking import Draft, answered, draft
from .base import Check, Request
from .finish import MARKUP_TOKENS, Finisher, read_code

PROMPT_TOKENS = 16_000
# A Net has about 2,500 tokens. A model with little context keeps most of it for the prompt.
ANSWER_TOKENS = 4096
ANSWER_SHARE = 3 / 8


def code_candidates(
    generator: Generator,
    requests: Iterable[tuple[int, Request]],
    pool: Sequence[tuple[str, str]],
    check: Check,
    known: Iterable[str] = (),
) -> Iterator[Candidate]:
    """Candidates whose code the model wrote; see `Strategy`.

    An answer passes extraction, fix-ups, the contract and at most `request.repairs` repairs. One without code, and one
    that the generator fails to give, ends its candidate as `no_code`, and the next is asked for. A repair asks the same
    generator: of a recording it takes the response after the one that it mends. Raises UsageError where the pool has
    too few snippets or the model's context does not hold the instructions.
    """
    finisher = Finisher(generator, check, set(known))

    def make(index: int, request: Request) -> Draft:
        # A small model likes to hand the Net that it was shown back.
        finisher.remember(request, request.baseline_source)
        answer_tokens = request.answer_tokens or min(ANSWER_TOKENS, int(generator.context_length * ANSWER_SHARE))
        return draft(
            "code",
            index,
            request,
            generator,
            pool,
            code_prompt,
            answer_tokens,
            min(PROMPT_TOKENS, generator.context_length - answer_tokens - MARKUP_TOKENS),
            size=request.size,
            template=request.template,
        )

    for asked, answer in answered(generator, requests, make):
        finisher.finish(asked, read_code(answer))
        yield asked.candidate
