"""Metric and losses after every epoch, a line a Net."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ...candidate import Epoch
from ..source import Net, Source
from ..table import Table
from .outcomes import style
from .scores import MOST_BUDGETS, best_of, legend, tags, title_of
from .svg import Chart, Plot, drawing, span

_SHOWN: tuple[tuple[Literal["accuracy", "train_loss", "test_loss"], str], ...] = (
    ("accuracy", "Metric"),
    ("train_loss", "Training loss"),
    ("test_loss", "Validation loss"),
)


def charts(source: Source, tables: dict[str, Table]) -> Iterator[Chart]:
    for number, (budget, nets) in enumerate(list(source.by_budget())[:MOST_BUDGETS]):
        trained = [net for net in nets if net.entry.candidate.epochs]
        trained.sort(key=lambda net: -1.0 if net.score is None else net.score)
        ours, label = best_of([net for net in trained if not net.is_baseline], budget)
        # The best are drawn over the others, and baselines over all.
        drawn = ours + [net for net in trained if net.is_baseline]
        for key, name in _SHOWN:
            lines = [(net, points) for net in drawn if (points := _points(net, key))]
            if lines:
                unit = lines[0][0].recorded.metric if key == "accuracy" else "nats a token"
                yield _chart(f"chart-{key}-{number}", f"{name} by epoch: {label}", unit, lines)


def _points(net: Net, key: Literal["accuracy", "train_loss", "test_loss"]) -> list[tuple[float, float]]:
    epochs: list[Epoch] = net.entry.candidate.epochs
    return [(epoch.epoch, value) for epoch in epochs if (value := getattr(epoch, key)) is not None]


def _chart(identity: str, title: str, unit: str, lines: list[tuple[Net, list[tuple[float, float]]]]) -> Chart:
    values = [y for _, points in lines for _, y in points]
    last = max(x for _, points in lines for x, _ in points)
    plot = Plot.of((0.8, max(last, 2) + 0.2), span(values, zero=unit != "nats a token"), ("epoch", unit))
    for net, points in lines:
        kind = "baseline" if net.is_baseline else style(net.outcome)
        said = tags(net, f"{title_of(net)}, {unit} {', '.join(f'{y:.4f}' for _, y in points)}")
        if len(points) == 1:
            plot.point(*points[0], kind, said, radius=3.0)
        else:
            plot.line(points, kind, said)
    description = f"{len(lines)} Nets over {last:.0f} epochs, from {min(values):.4f} to {max(values):.4f}"
    svg = drawing(identity, title, description, plot.markup(whole=True), plot.height)
    ours, baselines = ([net for net, _ in lines if net.is_baseline is wanted] for wanted in (False, True))
    return Chart("epochs", title, description, svg, legend(ours, baselines))
