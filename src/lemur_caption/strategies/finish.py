"""From a response to a candidate's end, for every strategy whose model writes code: fix-ups, contract, repair."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from ..candidate import Candidate, Outcome, Repair, SourcePass
from ..contract import ContractReport
from ..errors import GeneratorError
from ..generator.base import Generator, Prompt, Sampling
from ..lemur.registry import code_id
from ..prompt import family
from ..prompt.code_prompt import repair_prompt
from ..source.extraction import extract
from ..source.fixups import apply_fixups
from .base import Check, Request, full_text

# A repair is to change what is wrong and nothing else.
REPAIR_TEMPERATURE = 0.2
# What a chat template puts around system and user text, at most.
MARKUP_TOKENS = 96


@dataclass(frozen=True)
class Answer:
    """A response's text, or why there is none. `note` also says that an answer was cut off."""

    text: str = ""
    note: str = ""


@dataclass(frozen=True)
class Draft:
    """The source that an answer gives, None where it has no code, and the passes that led to it."""

    source: str | None
    note: str
    passes: list[SourcePass] = field(default_factory=list)


def ask(generator: Generator, prompt: Prompt, sampling: Sampling, schema: dict[str, Any] | None = None) -> Answer:
    """The generator's answer; where it fails, its error as the answer's note."""
    try:
        response = generator.generate(prompt, sampling, schema)
    except GeneratorError as error:
        return Answer(note=str(error))
    # Half of a surrogate pair, which a server's JSON may hold, cannot be written to any file.
    text = response.text.encode("utf-8", "backslashreplace").decode("utf-8")
    return Answer(text, f"cut off after {response.new_tokens} tokens" if response.truncated else "")


def read_code(answer: Answer) -> Draft:
    """The Net in an answer, after the fix-ups."""
    if answer.note and not answer.text:
        return Draft(None, answer.note)
    found = extract(answer.text)
    note = f"{found.note}; {answer.note}" if answer.note else found.note
    if found.code is None:
        return Draft(None, note)
    fixed = apply_fixups(found.code)
    passes = [SourcePass("extraction", found.code, note)]
    for applied in fixed.applied:
        undone = "undone: the source would no longer parse" if applied.undone else ""
        passes.append(SourcePass(applied.name, applied.code, undone))
    return Draft(fixed.code, note, passes)


@dataclass
class Finisher:
    """Takes the candidates of one run to their ends. `seen` are the names of Nets that exist."""

    generator: Generator
    check: Check
    request: Request
    seen: set[str]
    answer_tokens: int

    @property
    def prefix(self) -> str:
        return family(self.request.snippets, self.request.baseline_name)

    def name_of(self, source: str) -> str:
        return f"{self.prefix}-{code_id(source)}"

    def remember(self, source: str) -> None:
        """Count a Net as one that exists."""
        self.seen.add(self.name_of(source))

    def finish(self, candidate: Candidate, draft: Draft) -> None:
        """End the candidate as `no_code`, as `duplicate` or as the contract says, after repairs where it needs them.

        A candidate with a source of its own is named for it; the others keep the name that they have.
        """
        candidate.passes = draft.passes
        if draft.source is None:
            candidate.end(Outcome.NO_CODE, draft.note)
            return
        candidate.source = draft.source
        report = None if self._exists(candidate) else self._repair(candidate, self.check(draft.source))
        if report is None:
            name = self.name_of(candidate.source)
            candidate.end(Outcome.DUPLICATE, f"a Net with this code exists already: {name}")
            return
        candidate.judge(report)
        candidate.name = self.name_of(candidate.source)
        self.seen.add(candidate.name)

    def _exists(self, candidate: Candidate) -> bool:
        return self.name_of(candidate.source) in self.seen

    def _repair(self, candidate: Candidate, report: ContractReport) -> ContractReport | None:
        """Send the source back until it is sound, the rounds are used up, or one changes nothing for the better.

        The last report, None where a repair arrived at a Net that exists.
        """
        earlier = [_errors(report)]
        while report.outcome is not None and len(candidate.repairs) < self.request.repairs:
            repair = self._ask_repair(candidate, report)
            candidate.repairs.append(repair)
            if not repair.source or repair.source == candidate.source:
                break
            candidate.source = repair.source
            if self._exists(candidate):
                return None
            report = self.check(repair.source)
            if _errors(report) in earlier:
                break
            earlier.append(_errors(report))
        return report

    def _ask_repair(self, candidate: Candidate, report: ContractReport) -> Repair:
        prompt = repair_prompt(candidate.source, report.findings)
        repair = Repair(full_text(prompt), [finding.to_dict() for finding in report.findings])
        count = self.generator.count_tokens
        needed = count(prompt.system) + count(prompt.user) + MARKUP_TOKENS
        room = min(self.generator.context_length - needed, self.answer_tokens)
        if room < count(candidate.source):
            repair.note = f"not asked: of {self.generator.context_length} tokens of context the prompt takes {needed}"
            return repair
        seed = random.Random(f"{candidate.seed}/repair{len(candidate.repairs)}").getrandbits(31)
        temperature = min(REPAIR_TEMPERATURE, self.request.temperature)
        answer = ask(self.generator, prompt, Sampling(temperature, max_new_tokens=room, seed=seed))
        draft = read_code(answer)
        repair.response, repair.passes = answer.text, draft.passes
        if draft.source is None:
            repair.note = draft.note
        else:
            repair.source = draft.source
        return repair


def _errors(report: ContractReport) -> frozenset[tuple[str, str]]:
    """What is wrong, wherever it stands: a line moves as soon as another is mended."""
    return frozenset((finding.rule, finding.message) for finding in report.findings if finding.severity == "error")
