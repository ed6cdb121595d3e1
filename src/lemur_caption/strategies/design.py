"""The `design` strategy: the language model chooses an architecture under a JSON schema, and we render the Net."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from ..architecture import Design, json_schema, render
from ..candidate import Candidate, Outcome
from ..errors import UsageError
from ..generator.base import Generator, Sampling
from ..lemur.registry import code_id
from ..prompt import design_prompt, family, sample_snippets
from .base import Check, Request, full_text
from .finish import ask

# The embedded model reads a prompt at the speed of two cores: so much context it gets at most.
PROMPT_TOKENS = 1500
# A design has about 130 tokens.
ANSWER_TOKENS = 256


def design_candidates(
    generator: Generator, request: Request, pool: Sequence[tuple[str, str]], check: Check, known: Iterable[str] = ()
) -> Iterator[Candidate]:
    """Candidates whose architecture the model chose; see `Strategy`.

    An answer that is no design, and a generator that fails, end their candidate as `no_code`.
    """
    seen = set(known)
    schema = json_schema(request.size)
    prefix = family(request.snippets, request.baseline_name)
    for index in itertools.count():
        seed = request.seed_of(index)
        snippets = sample_snippets(pool, request.snippets, seed)
        answer_tokens = request.answer_tokens or ANSWER_TOKENS
        sampling = Sampling(temperature=request.temperature, max_new_tokens=answer_tokens, seed=seed)
        prompt = design_prompt(
            baseline_name=request.baseline_name,
            baseline_source=request.baseline_source,
            baseline_score=request.baseline_score,
            snippets=snippets,
            choices=schema,
            budget_tokens=min(PROMPT_TOKENS, generator.context_length - sampling.max_new_tokens),
            count_tokens=generator.count_tokens,
            seed=seed,
        )
        answer = ask(generator, prompt, sampling, schema)
        candidate = Candidate(
            name=f"{prefix}-candidate{index}",
            family=prefix,
            source="",
            model=generator.name,
            seed=seed,
            snippets=[snippet.name for snippet in snippets],
            prompt=full_text(prompt),
            dropped=list(prompt.dropped),
            response=answer.text,
        )
        try:
            design = Design.from_json(answer.text)
        except UsageError as error:
            candidate.end(Outcome.NO_CODE, answer.note or str(error))
        else:
            candidate.design = design.model_dump(mode="json")
            candidate.source = render(design)
            name = f"{prefix}-{code_id(candidate.source)}"
            if name in seen:
                # It keeps a name of its own: the trail of the Net that it repeats must stay.
                candidate.end(Outcome.DUPLICATE, f"a Net with this code exists already: {name}")
            else:
                seen.add(name)
                candidate.name = name
                candidate.judge(check(candidate.source))
        yield candidate
