"""The record that travels: one captioning Net on its way from a prompt to LEMUR's store.

Every stage adds to a candidate and none reaches back. It ends in exactly one `Outcome`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError

if TYPE_CHECKING:
    from .contract import ContractReport


class Outcome(str, Enum):
    """How a candidate ended. `improved` is `trained` with a better metric than the baseline's."""

    NO_CODE = "no_code"
    SYNTAX = "syntax"
    CONTRACT = "contract"
    DUPLICATE = "duplicate"
    UNSAFE = "unsafe"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    RUNTIME_ERROR = "runtime_error"
    DIVERGED = "diverged"
    TRAINED = "trained"
    IMPROVED = "improved"

    @property
    def success(self) -> bool:
        return self in (Outcome.TRAINED, Outcome.IMPROVED)


def short_name(name: str) -> str:
    """LEMUR's name of a Net with eight digits of its MD5, which tell Nets apart for people; another name as it is."""
    head, _, digest = name.rpartition("-")
    return f"{head}-{digest[:8]}" if head and len(digest) == 32 else name


def printable(text: str) -> str:
    """A stranger's text on one line, and without what a terminal would take for commands."""
    return "".join(
        character if character.isprintable() else "�" for character in " ".join(text.expandtabs(1).splitlines())
    )


@dataclass
class Epoch:
    """One epoch as LEMUR measured it. Losses are nats a token, `accuracy` is the metric in [0, 1],
    `seconds` what training had taken by its end.

    `prm` is LEMUR's whole record of the epoch, as its store keeps it.
    """

    epoch: int
    accuracy: float
    train_loss: float | None
    test_loss: float | None
    seconds: float
    prm: dict[str, Any] = field(default_factory=dict)


@dataclass
class SourcePass:
    """The source as one pass left it: `extraction` first, then the fix-ups that changed something.

    `note` says what the extraction found, or that the pass was undone.
    """

    name: str
    source: str
    note: str = ""


@dataclass
class Repair:
    """One round in which a Net went back to the language model.

    `findings` are what the round was to mend; what its own source breaks is in the next round, or after the last
    round the candidate's. `source` is empty, and `note` says why, where the round brought no code.
    """

    prompt: str
    findings: list[dict[str, Any]]
    response: str = ""
    passes: list[SourcePass] = field(default_factory=list)
    source: str = ""
    note: str = ""


@dataclass
class Candidate:
    """A captioning Net and everything known of it so far.

    `name` is LEMUR's: the family, a hyphen, and the MD5 of the source without white space.
    `outcome` is None while nothing is wrong and nothing has been trained. `dropped` is what the token budget kept out of
    the prompt. `passes` lead from the response to the first source; `source` is the one after the last repair.
    `parents` are the names of the Nets that it was made from, where a search chose them. Tokens are those of the answer and
    of its repairs together; `seconds` says how long each stage took. `fingerprint` is a digest of what a sound Net
    computes, where the contract could take one. `flops` and `parts` are those of the trained Net, as `lemur.structure` reads
    them from its run.
    """

    name: str
    family: str
    source: str
    model: str = ""
    seed: int = 0
    strategy: str = ""
    temperature: float = 0.0
    parents: list[str] = field(default_factory=list)
    design: dict[str, Any] | None = None
    snippets: list[str] = field(default_factory=list)
    prompt: str = ""
    dropped: list[str] = field(default_factory=list)
    response: str = ""
    passes: list[SourcePass] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    outcome: Outcome | None = None
    detail: str = ""
    findings: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: str | None = None
    parameters: int | None = None
    flops: int | None = None
    parts: dict[str, Any] | None = None
    epochs: list[Epoch] = field(default_factory=list)
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict, compare=False)

    def end(self, outcome: Outcome, detail: str = "") -> None:
        """Give the candidate its one outcome. Raises ValueError when it has another already."""
        if self.outcome is not None and self.outcome is not outcome:
            raise ValueError(f"{self.name} has ended as {self.outcome.value} and cannot become {outcome.value}")
        self.outcome = outcome
        self.detail = detail

    def judge(self, report: ContractReport) -> None:
        """Take over the contract's findings and fingerprint, and its outcome unless the Net is sound."""
        self.findings = [finding.to_dict() for finding in report.findings]
        self.fingerprint = report.fingerprint
        if report.outcome is not None:
            worst = next((finding for finding in report.findings if finding.severity == "error"), None)
            self.end(report.outcome, f"{worst.rule} {worst.message}" if worst else "")

    def finish(self, outcome: Outcome, detail: str, epochs: list[Epoch], baseline: float | None = None) -> None:
        """Take over how training ended. `baseline` is the baseline's metric under the same budget, where known."""
        self.epochs = epochs
        if outcome is Outcome.TRAINED and baseline is not None and epochs[-1].accuracy > baseline:
            outcome = Outcome.IMPROVED
        self.end(outcome, detail)

    def write(self, folder: Path) -> None:
        """Write `NAME.json`, all that is known, and `NAME.py` where there is a source that nothing speaks against.

        Raises UsageError when the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.outcome is None or self.outcome.success:
                (folder / f"{self.name}.py").write_text(self.source, encoding="utf-8")
            trail = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
            (folder / f"{self.name}.json").write_text(trail + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"the folder {folder} cannot be written ({error.strerror}); choose another") from error

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy; `outcome` as its text or None."""
        return asdict(self) | {"outcome": self.outcome.value if self.outcome else None}
