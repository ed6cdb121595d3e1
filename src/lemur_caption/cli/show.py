"""`show`: a run, or the whole trail of one candidate."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ..candidate import printable
from ..errors import UsageError
from . import options
from .console import out, print_json
from .recorded import open_records, run_number

if TYPE_CHECKING:
    from ..search.records import Entry, Run


def show(
    what: Annotated[str, typer.Argument(help="A run (3), a candidate of a run (3/17), or the LEMUR name of a Net.")],
    prompt: Annotated[bool, typer.Option("--prompt", help="Print the prompt alone, as the model got it.")] = False,
    response: Annotated[bool, typer.Option("--response", help="Print the model's response alone.")] = False,
    source: Annotated[bool, typer.Option("--source", help="Print the Net's code alone.")] = False,
    root: options.Root = None,
    json: options.Json = False,
) -> None:
    """Show a run with its candidates, or all that is recorded of one candidate."""
    parts = [name for name, wanted in (("prompt", prompt), ("response", response), ("source", source)) if wanted]
    if len(parts) + json > 1:
        raise UsageError("give one of --prompt, --response, --source and --json")
    if what.isdecimal() and parts:
        raise UsageError(f"`{what}` is a run, and --{parts[0]} is a candidate's; give RUN/INDEX or a Net's name")
    with open_records(root) as records:
        if what.isdecimal():
            run, entries = records.run(run_number(what)), records.entries(run_number(what))
            _show_run(run, entries, json)
        else:
            _show_candidate(records.candidate(what), parts, json)


def _line(label: str, value: object) -> None:
    # A response may hold what looks like markup.
    out.print(Text(f"{label:<12} {printable(str(value))}"))


def _show_run(run: Run, entries: list[Entry], json: bool) -> None:
    if json:
        print_json(run.to_dict() | {"entries": [entry.to_dict() for entry in entries]})
        return
    _line("run", run.id)
    _line("state", run.state.value)
    _line("started", run.started)
    _line("ended", run.ended or "")
    for label, values in (("settings", run.settings), ("versions", run.versions)):
        _line(label, ", ".join(f"{key} {value}" for key, value in values.items()))
    outcomes = Counter(entry.candidate.outcome.value if entry.candidate.outcome else "open" for entry in entries)
    _line("candidates", ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()) or "none yet")
    for entry in entries:
        _line(f"  {run.id}/{entry.index}", f"{_verdict(entry)}  {entry.candidate.name}  {_scores(entry)}".rstrip())


def _verdict(entry: Entry) -> str:
    return entry.candidate.outcome.value if entry.candidate.outcome else entry.state.value


def _scores(entry: Entry) -> str:
    return " ".join(f"{epoch.accuracy:.4f}" for epoch in entry.candidate.epochs)


def _show_candidate(entry: Entry, parts: list[str], json: bool) -> None:
    candidate = entry.candidate
    if json:
        print_json(entry.to_dict())
        return
    if parts:
        sys.stdout.write(getattr(candidate, parts[0]))
        return
    _line("candidate", f"{entry.run}/{entry.index}")
    _line("name", candidate.name)
    _line("state", entry.state.value)
    _line("outcome", f"{candidate.outcome.value if candidate.outcome else 'none yet'}  {candidate.detail}".rstrip())
    _line(
        "model", f"{candidate.model}, {candidate.strategy}, temperature {candidate.temperature}, seed {candidate.seed}"
    )
    _line("cost", f"{candidate.prompt_tokens} prompt tokens, {candidate.answer_tokens} answer tokens")
    _line("seconds", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in candidate.seconds.items()))
    _line("parents", ", ".join(candidate.parents))
    _line("snippets", ", ".join(candidate.snippets))
    if entry.trails > 1:
        _line("trails", f"{entry.trails}; this is the last, the others are in the database")
    if candidate.design is not None:
        _line("design", ", ".join(f"{key} {value}" for key, value in candidate.design.items()))
    _line("passes", ", ".join(step.name for step in candidate.passes))
    for number, repair in enumerate(candidate.repairs, 1):
        _line(f"repair {number}", repair.note or f"of {len(repair.findings)} findings")
        _show_findings(repair.findings)
    if candidate.findings:
        _line("findings", len(candidate.findings))
        _show_findings(candidate.findings)
    _show_training(entry)
    _line("more", "--prompt, --response, --source, --json")


def _show_findings(findings: list[dict[str, Any]]) -> None:
    for finding in findings:
        place = f"line {finding['line']}: " if finding.get("line") else ""
        _line(f"  {finding.get('rule', '')}", f"{place}{finding.get('message', '')}")


def _show_training(entry: Entry) -> None:
    candidate = entry.candidate
    if candidate.parameters is not None:
        _line("parameters", f"{candidate.parameters:,}")
    if candidate.flops is not None:
        _line("FLOPs", f"{candidate.flops:,}")
    if candidate.parts is not None:
        _line("parts", ", ".join(f"{key} {value}" for key, value in candidate.parts.items() if value is not None))
    if entry.quality is not None:
        _line("code quality", f"{entry.quality:.3f}")
    for epoch in candidate.epochs:
        losses = [
            f"{name} loss {loss:.4f}" if loss is not None else f"{name} loss not finite"
            for name, loss in (("train", epoch.train_loss), ("test", epoch.test_loss))
        ]
        _line(f"epoch {epoch.epoch}", f"metric {epoch.accuracy:.4f}, {', '.join(losses)}, {epoch.seconds:.1f} s")
    for sample in entry.samples:
        _line(
            "sample",
            f"{sample.get('image', '')}: {sample.get('caption', '')} (reference: {sample.get('reference', '')})",
        )
