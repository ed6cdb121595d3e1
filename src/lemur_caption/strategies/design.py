"""The `design` strategy: the language model chooses an architecture under a JSON schema, and we render the Net."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..architecture import Design, json_schema, render
from ..candidate import Candidate, Outcome
from ..errors import UsageError
from ..generator.base import Generator
from ..prompt import design_prompt
from .asking import Draft, answered, draft
from .base import Check, Request
from .finish import Finisher

# The embedded model reads a prompt at the speed of two cores: so much context it gets at most.
PROMPT_TOKENS = 1500
# A design has about 130 tokens.
ANSWER_TOKENS = 256


def design_candidates(
    generator: Generator,
    requests: Iterable[tuple[int, Request]],
    pool: Sequence[tuple[str, str]],
    check: Check,
    known: Iterable[str] = (),
) -> Iterator[Candidate]:
    """Candidates whose architecture the model chose; see `Strategy`.

    An answer that is no design, and a generator that fails, end their candidate as `no_code`.
    """
    finisher = Finisher(generator, check, set(known))

    def make(index: int, request: Request) -> Draft:
        answer_tokens = request.answer_tokens or ANSWER_TOKENS
        schema = json_schema(request.size, request.pinned)
        return draft(
            "design",
            index,
            request,
            generator,
            pool,
            design_prompt,
            answer_tokens,
            min(PROMPT_TOKENS, generator.context_length - answer_tokens),
            schema,
            choices=schema,
            seed=request.seed_of(index),
        )

    for asked, answer in answered(generator, requests, make):
        candidate = asked.candidate
        try:
            design = Design.from_json(answer.text)
        except UsageError as error:
            candidate.end(Outcome.NO_CODE, answer.note or str(error))
        else:
            candidate.design = design.model_dump(mode="json")
            finisher.judge(candidate, render(design))
        yield candidate
