"""Every Net's score in the order in which the Nets were asked for, beside the baselines."""

from __future__ import annotations

from collections.abc import Iterator

from ...candidate import short_name
from ..source import Net, Source
from ..table import Table, shortened
from .outcomes import style
from .svg import Chart, Plot, Tags, drawing, span

MOST_BUDGETS = 3
MOST_NETS = 400


def title_of(net: Net) -> str:
    """A Net's number, name and outcome."""
    return f"{net.id} {shortened(short_name(net.entry.candidate.name), 80)}: {net.outcome}"


def tip(net: Net) -> str:
    """What a mark says of its Net."""
    candidate, kinds = net.entry.candidate, net.kinds
    parts = [part for part in (kinds.encoder, kinds.decoder) if part]
    size = f", {candidate.parameters:,} parameters" if candidate.parameters else ""
    score = f", {net.recorded.metric} {net.score:.4f}" if net.score is not None else ""
    return f"{title_of(net)}{score}, {' + '.join(parts)}{size}"


def tags(net: Net, said: str | None = None) -> Tags:
    """A mark's tags, with what it says unless that is its tip. A baseline stays in sight whatever the page is filtered by."""
    words = said or tip(net)
    return Tags(words) if net.is_baseline else Tags(words, net.family, net.outcome)


def summary(scores: list[float], baselines: list[Net], metric: str) -> str:
    """The scores in words."""
    text = f"{len(scores)} Nets, {metric} from {min(scores):.4f} to {max(scores):.4f}" if scores else "no Net yet"
    against = ", ".join(f"{net.entry.candidate.name} {net.score:.4f}" for net in baselines if net.score is not None)
    return f"{text}; baselines: {against or 'none'}"


def best_of(nets: list[Net], budget: str) -> tuple[list[Net], str]:
    """As many Nets as a chart can hold, the best of them and in their order, and what to call them."""
    if len(nets) <= MOST_NETS:
        return nets, budget
    kept = {net.id for net in sorted(nets, key=lambda net: -(net.score or 0.0))[:MOST_NETS]}
    return [net for net in nets if net.id in kept], f"the best {MOST_NETS} of {len(nets)} Nets, {budget}"


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    for number, (budget, nets) in enumerate(list(source.by_budget())[:MOST_BUDGETS]):
        whole = [net for net in nets if net.whole]
        ours, label = best_of([net for net in whole if not net.is_baseline], budget)
        if not ours:
            continue
        baselines = [net for net in whole if net.is_baseline]
        metric = ours[0].recorded.metric
        plot = Plot.of((-0.5, len(ours) - 0.5), span([net.score or 0.0 for net in ours + baselines], zero=True),
                       ("Nets in the order of asking", metric))  # fmt: skip
        for net in baselines:
            plot.level(net.score or 0.0, tags(net))
        for place, net in enumerate(ours):
            plot.point(place, net.score or 0.0, f"in-order {style(net.outcome)}", tags(net))
        title = f"Score of every Net: {label}"
        description = summary([net.score or 0.0 for net in ours], baselines, metric)
        svg = drawing(f"chart-scores-{number}", title, description, plot.markup(x_ticks=False), plot.height)
        yield Chart("nets", title, description, svg, legend(ours, baselines))


def legend(ours: list[Net], baselines: list[Net]) -> list[tuple[str, str]]:
    found = [(style(outcome), outcome) for outcome in dict.fromkeys(net.outcome for net in ours)]
    return found + ([("baseline", "baselines")] if baselines else [])
