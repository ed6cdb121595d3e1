"""From requests to the language model's answers, in batches where the back end likes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..candidate import Candidate
from ..errors import GeneratorError
from ..generator.base import Generator, Prompt, Question, Response, Sampling, batch_size, generate_all
from ..prompt import sample_snippets
from .base import Request


@dataclass(frozen=True)
class Draft:
    """A candidate that has its prompt: what is still to be asked, and for whom."""

    candidate: Candidate
    request: Request
    question: Question


@dataclass(frozen=True)
class Answer:
    """A response's text, or why there is none. `note` also says that an answer was cut off."""

    text: str = ""
    note: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, response: Response | GeneratorError) -> Answer:
        if isinstance(response, GeneratorError):
            return cls(note=str(response))
        # Half of a surrogate pair, which a server's JSON may hold, cannot be written to any file.
        text = response.text.encode("utf-8", "backslashreplace").decode("utf-8")
        note = f"cut off after {response.new_tokens} tokens" if response.truncated else ""
        return cls(text, note, response.prompt_tokens, response.new_tokens, response.seconds)

    def count(self, candidate: Candidate) -> None:
        """Put what the answer cost on the candidate's account."""
        candidate.prompt_tokens += self.prompt_tokens
        candidate.answer_tokens += self.new_tokens
        candidate.seconds["model"] = candidate.seconds.get("model", 0.0) + self.seconds


def draft(
    strategy: str,
    index: int,
    request: Request,
    generator: Generator,
    pool: Sequence[tuple[str, str]],
    make_prompt: Callable[..., Prompt],
    answer_tokens: int,
    budget_tokens: int,
    schema: dict[str, Any] | None = None,
    **more: Any,
) -> Draft:
    """Candidate `index` before its answer, named for its index until it has a source of its own.

    `make_prompt` is given what every prompt is made of, in at most `budget_tokens` tokens, and `more`.
    """
    sampling = Sampling(request.temperature, max_new_tokens=answer_tokens, seed=request.seed_of(index))
    snippets = sample_snippets(pool, request.snippets, sampling.seed, exclude=request.excluded)
    prompt = make_prompt(
        baseline_name=request.baseline_name,
        baseline_source=request.baseline_source,
        baseline_score=request.baseline_score,
        snippets=snippets,
        examples=request.examples,
        avoid=request.avoid,
        budget_tokens=budget_tokens,
        count_tokens=generator.count_tokens,
        **more,
    )
    candidate = Candidate(
        name=f"{request.family}-candidate{index}",
        family=request.family,
        source="",
        model=generator.name,
        seed=sampling.seed,
        strategy=strategy,
        temperature=sampling.temperature,
        parents=list(request.parents),
        snippets=[snippet.name for snippet in snippets],
        prompt=full_text(prompt),
        dropped=list(prompt.dropped),
    )
    return Draft(candidate, request, Question(prompt, sampling, schema))


def answered(
    generator: Generator, requests: Iterable[tuple[int, Request]], make: Callable[[int, Request], Draft]
) -> Iterator[tuple[Draft, Answer]]:
    """The drafts that `make` makes of the requests, each with the generator's answer to it."""
    waiting = iter(requests)
    while batch := [make(index, request) for index, request in itertools.islice(waiting, batch_size(generator))]:
        responses = generate_all(generator, [draft.question for draft in batch])
        for asked, response in zip(batch, responses, strict=True):
            answer = Answer.of(response)
            asked.candidate.response = answer.text
            answer.count(asked.candidate)
            yield asked, answer


def full_text(prompt: Prompt) -> str:
    """A prompt as the trail keeps it."""
    return f"{prompt.system}\n\n{prompt.user}"
