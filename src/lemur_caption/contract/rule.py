"""One rule of the contract, as an object: what it checks, why, and how to mend a Net that breaks it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal, get_args

from lemur_caption.contract.report import Finding, Severity

Stage = Literal["source", "build", "shapes", "training", "meaning", "safety"]


@dataclass(frozen=True)
class Rule:
    """A rule of the contract.

    `message` is a format string that a finding fills in; `hint` is the advice that a linter prints under the
    finding and a repair prompt tells the language model. Raises ValueError for an unknown stage or severity.
    """

    id: str
    name: str
    stage: Stage
    severity: Severity
    rationale: str
    message: str
    hint: str
    example_bad: str = ""
    example_good: str = ""

    def __post_init__(self) -> None:
        if self.stage not in get_args(Stage):
            raise ValueError(f"{self.id}: stage must be one of {', '.join(get_args(Stage))}, not {self.stage!r}")
        if self.severity not in get_args(Severity):
            raise ValueError(f"{self.id}: severity must be 'error' or 'warning', not {self.severity!r}")

    def finding(
        self, line: int | None = None, column: int | None = None, *, hint: str | None = None, **values: object
    ) -> Finding:
        """A finding of this rule at `line` and `column` (both from 1), its message filled in from `values`.

        `hint` replaces the rule's own where the place allows a more precise one.
        """
        message = self.message.format(**values)
        return Finding(self.id, message, self.hint if hint is None else hint, line, column, self.severity)

    def page(self) -> str:
        """The rule's page, in Markdown."""
        parts = [
            f"# {self.id} {self.name}",
            f"Stage: {self.stage}. Severity: {self.severity}.",
            f"## What it reports\n\n`{self.message}`",
            f"## Why\n\n{self.rationale}",
            f"## How to mend it\n\n{self.hint}",
        ]
        for title, example in (("Breaks the rule", self.example_bad), ("Keeps the rule", self.example_good)):
            if example:
                parts.append(f"## {title}\n\n```python\n{textwrap.dedent(example).strip()}\n```")
        return "\n\n".join(parts) + "\n"
