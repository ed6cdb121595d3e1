"""From a language model to candidates: snippets and a baseline in, Net sources out."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .architecture import Design, json_schema, render
from .candidate import Candidate, Outcome
from .errors import UsageError
from .generator.base import Generator, Sampling
from .lemur.registry import code_id
from .prompt import design_prompt, family, sample_snippets

# The embedded model reads a prompt at the speed of two cores: so much context it gets at most.
PROMPT_TOKENS = 1500
# A design has about 130 tokens.
ANSWER_TOKENS = 256


@dataclass(frozen=True)
class Request:
    """What every candidate of one run has in common. `size` is the design space: `pocket` or `full`."""

    baseline_name: str
    baseline_source: str
    baseline_score: float | None = None
    snippets: int = 5
    size: str = "pocket"
    temperature: float = 0.8
    seed: int = 0


def design_candidates(
    generator: Generator, request: Request, pool: Sequence[tuple[str, str]], known: Iterable[str] = ()
) -> Iterator[Candidate]:
    """Endless candidates of the `design` strategy: the model chooses under a JSON schema, we render.

    `pool` holds the classification Nets, (name, source) each, that snippets are drawn from; `known` the names of
    Nets that exist. Candidate i depends on the seed and on i alone, so a run can go on where another stopped. An
    answer that is no design ends its candidate as `no_code`, a Net that exists already as `duplicate`.
    """
    seen = set(known)
    schema = json_schema(request.size)
    prefix = family(request.snippets, request.baseline_name)
    index = 0
    while True:
        seed = random.Random(f"{request.seed}/{index}").getrandbits(31)
        snippets = sample_snippets(pool, request.snippets, seed)
        sampling = Sampling(temperature=request.temperature, max_new_tokens=ANSWER_TOKENS, seed=seed)
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
        response = generator.generate(prompt, sampling, schema)
        candidate = Candidate(
            name=f"{prefix}-candidate{index}",
            family=prefix,
            source="",
            model=generator.name,
            seed=seed,
            snippets=[snippet.name for snippet in snippets],
            prompt=f"{prompt.system}\n\n{prompt.user}",
            response=response.text,
        )
        try:
            design = Design.from_json(response.text)
        except UsageError as error:
            candidate.end(Outcome.NO_CODE, str(error))
        else:
            candidate.design = design.model_dump(mode="json")
            candidate.source = render(design)
            candidate.name = f"{prefix}-{code_id(candidate.source)}"
            if candidate.name in seen:
                candidate.end(Outcome.DUPLICATE, "a Net with this code exists already")
            seen.add(candidate.name)
        yield candidate
        index += 1
