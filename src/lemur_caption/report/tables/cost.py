"""What answers cost in tokens, by strategy and model."""

from __future__ import annotations

from ..source import Net, Source
from ..statistics import mean, median
from ..table import Column, Row, Table


def table(source: Source) -> Table:
    columns = (
        Column("strategy", "strategy"),
        Column("model", "model"),
        Column("snippets", "snippets", "count"),
        Column("candidates", "candidates", "count"),
        Column("prompt_tokens", "prompt tokens", "count"),
        Column("answer_tokens", "answer tokens", "count"),
        Column("prompt_mean", "prompt tokens a candidate", "count"),
        Column("answer_mean", "answer tokens a candidate", "count"),
        Column("per_success", "tokens a trained Net", "count"),
        Column("speed", "answer tokens a second", "seconds"),
        Column("middle", "median seconds of the model", "seconds"),
    )
    groups: dict[tuple[str, str, int | None], list[Net]] = {}
    for net in source.candidates:
        if net.entry.state.value != "planned":
            groups.setdefault((net.strategy, net.model, net.snippets), []).append(net)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or 0))
    note = "Tokens and seconds of repairs are counted with their candidate's. Seconds depend on the machine and what else it did."
    return Table("cost", "Tokens", columns, [_row(*key, nets) for key, nets in ordered], note)


def _row(strategy: str, model: str, snippets: int | None, nets: list[Net]) -> Row:
    prompts = [net.entry.candidate.prompt_tokens for net in nets]
    answers = [net.entry.candidate.answer_tokens for net in nets]
    seconds = [net.entry.candidate.seconds.get("model") or 0.0 for net in nets]
    successes = sum(net.success for net in nets)
    return {
        "strategy": strategy,
        "model": model,
        "snippets": snippets,
        "candidates": len(nets),
        "prompt_tokens": sum(prompts),
        "answer_tokens": sum(answers),
        "prompt_mean": mean(prompts),
        "answer_mean": mean(answers),
        "per_success": (sum(prompts) + sum(answers)) / successes if successes else None,
        "speed": sum(answers) / sum(seconds) if sum(seconds) > 0 else None,
        "middle": median(seconds),
    }
