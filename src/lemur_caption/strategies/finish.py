"""From a response to a candidate's end, for every strategy: fix-ups, contract, repair."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..candidate import Candidate, Outcome, Repair, SourcePass
from ..contract import ContractReport
from ..generator.base import Generator, Question, Sampling, generate_all
from ..lemur.registry import code_id
from ..prompt.code_prompt import repair_prompt
from ..source.extraction import extract
from ..source.fixups import FixedSource, apply_fixups
from .asking import Answer, Draft, full_text
from .base import Check, Request

# A repair is to change what is wrong and nothing else.
REPAIR_TEMPERATURE = 0.2
# What a chat template puts around system and user text, at most.
MARKUP_TOKENS = 96


@dataclass(frozen=True)
class Reading:
    """The source that an answer gives, None where it has no code, and the passes that led to it."""

    source: str | None
    note: str
    passes: list[SourcePass] = field(default_factory=list)


def read_code(answer: Answer) -> Reading:
    """The code in an answer, after the fix-ups."""
    if answer.note and not answer.text:
        return Reading(None, answer.note)
    found = extract(answer.text)
    note = f"{found.note}; {answer.note}" if answer.note else found.note
    if found.code is None:
        return Reading(None, note)
    return after_fixups(SourcePass("extraction", found.code, note))


def after_fixups(*passes: SourcePass) -> Reading:
    """What the last of the passes left, after the fix-ups as well."""
    fixed = apply_fixups(passes[-1].source)
    return Reading(fixed.code, passes[-1].note, [*passes, *as_passes(fixed)])


def as_passes(fixed: FixedSource) -> list[SourcePass]:
    """The fix-ups that changed something, as the trail keeps them."""
    undone = "undone: the source would no longer parse"
    return [SourcePass(applied.name, applied.code, undone if applied.undone else "") for applied in fixed.applied]


def read_whole(answer: Answer, mended: str) -> Reading:
    """A repair that answers with the whole Net."""
    return read_code(answer)


@dataclass
class Finisher:
    """Takes the candidates of one run to their ends. `seen` are the names of Nets that exist.

    `read_repair` reads the answer to a repair, given the source that it mends.
    """

    generator: Generator
    check: Check
    seen: set[str]
    read_repair: Callable[[Answer, str], Reading] = read_whole

    def remember(self, request: Request, source: str) -> None:
        """Count a Net, as the fix-ups leave it, as one that exists."""
        self.seen.add(_name(request.family, apply_fixups(source).code))

    def finish(self, asked: Draft, reading: Reading) -> None:
        """End the candidate as `no_code`, as `duplicate` or as the contract says, after repairs where it needs them."""
        candidate = asked.candidate
        candidate.passes = reading.passes
        if reading.source is None:
            candidate.end(Outcome.NO_CODE, reading.note)
            return
        self.judge(candidate, reading.source, asked)

    def judge(self, candidate: Candidate, source: str, asked: Draft | None = None) -> None:
        """End the candidate as `duplicate` or as the contract says of `source`; with `asked`, after repairs.

        A candidate with a source of its own is named for it. A duplicate keeps the name that it has: the trail of the Net
        that it repeats must stay.
        """
        candidate.source = source
        report = None if self._exists(candidate) else self._check(candidate)
        if report is not None and asked is not None:
            report = self._repair(asked, report)
        name = _name(candidate.family, candidate.source)
        if report is None:
            candidate.end(Outcome.DUPLICATE, f"a Net with this code exists already: {name}")
            return
        candidate.judge(report)
        candidate.name = name
        self.seen.add(name)

    def _exists(self, candidate: Candidate) -> bool:
        return _name(candidate.family, candidate.source) in self.seen

    def _check(self, candidate: Candidate) -> ContractReport:
        started = time.perf_counter()
        report = self.check(candidate.source)
        candidate.seconds["check"] = candidate.seconds.get("check", 0.0) + time.perf_counter() - started
        return report

    def _repair(self, asked: Draft, report: ContractReport) -> ContractReport | None:
        """Send the source back until it is sound, the rounds are used up, or one changes nothing for the better.

        The last report, None where a repair arrived at a Net that exists.
        """
        candidate = asked.candidate
        earlier = [_errors(report)]
        while report.outcome is not None and len(candidate.repairs) < asked.request.repairs:
            repair = self._ask_repair(asked, report)
            candidate.repairs.append(repair)
            if not repair.source or repair.source == candidate.source:
                break
            candidate.source = repair.source
            if self._exists(candidate):
                return None
            report = self._check(candidate)
            if _errors(report) in earlier:
                break
            earlier.append(_errors(report))
        return report

    def _ask_repair(self, asked: Draft, report: ContractReport) -> Repair:
        candidate = asked.candidate
        prompt = repair_prompt(candidate.source, report.findings)
        repair = Repair(full_text(prompt), [finding.to_dict() for finding in report.findings])
        count = self.generator.count_tokens
        needed = count(prompt.system) + count(prompt.user) + MARKUP_TOKENS
        room = self.generator.context_length - needed
        # A repair answers with the whole Net, whatever the strategy asked for at first.
        if room < count(candidate.source):
            repair.note = f"not asked: of {self.generator.context_length} tokens of context the prompt takes {needed}"
            return repair
        seed = random.Random(f"{candidate.seed}/repair{len(candidate.repairs)}").getrandbits(31)
        temperature = min(REPAIR_TEMPERATURE, asked.request.temperature)
        limit = min(room, max(asked.question.sampling.max_new_tokens, 2 * count(candidate.source)))
        question = Question(prompt, Sampling(temperature, max_new_tokens=limit, seed=seed))
        answer = Answer.of(generate_all(self.generator, [question])[0])
        answer.count(candidate)
        reading = self.read_repair(answer, candidate.source)
        repair.response, repair.passes = answer.text, reading.passes
        if reading.source is None:
            repair.note = reading.note
        else:
            repair.source = reading.source
        return repair


def _name(family: str, source: str) -> str:
    return f"{family}-{code_id(source)}"


def _errors(report: ContractReport) -> frozenset[tuple[str, str]]:
    """What is wrong, wherever it stands: a line moves as soon as another is mended."""
    return frozenset((finding.rule, finding.message) for finding in report.findings if finding.severity == "error")
