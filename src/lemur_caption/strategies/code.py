"""The `code` strategy, the paper's: the language model writes a whole Net."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from ..candidate import Candidate
from ..generator.base import Generator, Sampling
from ..prompt import sample_snippets
from ..prompt.code_prompt import code_prompt
from ..source.fixups import apply_fixups
from .base import Check, Request, full_text
from .finish import MARKUP_TOKENS, Finisher, ask, read_code

PROMPT_TOKENS = 16_000
# A Net has about 2,500 tokens. A model with little context keeps most of it for the prompt.
ANSWER_TOKENS = 4096
ANSWER_SHARE = 3 / 8


def code_candidates(
    generator: Generator, request: Request, pool: Sequence[tuple[str, str]], check: Check, known: Iterable[str] = ()
) -> Iterator[Candidate]:
    """Candidates whose code the model wrote; see `Strategy`.

    An answer passes extraction, fix-ups, the contract and at most `request.repairs` repairs. One without code, and one
    that the generator fails to give, ends its candidate as `no_code`, and the next is asked for. A repair asks the same
    generator: of a recording it takes the response after the one that it mends. Raises UsageError where the pool has
    too few snippets or the model's context does not hold the instructions.
    """
    context = generator.context_length
    answer_tokens = request.answer_tokens or min(ANSWER_TOKENS, int(context * ANSWER_SHARE))
    finisher = Finisher(generator, check, request, set(known), answer_tokens)
    # A small model likes to hand the baseline back.
    finisher.remember(apply_fixups(request.baseline_source).code)
    for index in itertools.count():
        seed = request.seed_of(index)
        snippets = sample_snippets(pool, request.snippets, seed, exclude=request.exclude)
        prompt = code_prompt(
            baseline_name=request.baseline_name,
            baseline_source=request.baseline_source,
            baseline_score=request.baseline_score,
            snippets=snippets,
            size=request.size,
            budget_tokens=min(PROMPT_TOKENS, context - answer_tokens - MARKUP_TOKENS),
            count_tokens=generator.count_tokens,
        )
        candidate = Candidate(
            name=f"{finisher.prefix}-candidate{index}",
            family=finisher.prefix,
            source="",
            model=generator.name,
            seed=seed,
            snippets=[snippet.name for snippet in snippets],
            prompt=full_text(prompt),
            dropped=list(prompt.dropped),
        )
        answer = ask(generator, prompt, Sampling(request.temperature, max_new_tokens=answer_tokens, seed=seed))
        candidate.response = answer.text
        finisher.finish(candidate, read_code(answer))
        yield candidate
