"""Horizontal bars and dots with intervals: one row a group, its name above its line; the page puts rows in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..table import shortened
from .svg import WIDTH, Axis, Tags, attributes, brief, title

_ROW, _BAR, _FOOT = 34, 13, 22
# A label and its value share a line of so many characters, at the size in which a phone shows them.
_LONGEST = 50


@dataclass(frozen=True)
class Piece:
    """A part of a bar, as long as its `value`."""

    value: float
    style: str
    tags: Tags


@dataclass(frozen=True)
class Bar:
    """One row: pieces one after another, or a dot at `dot` with an interval."""

    label: str
    shown: str
    pieces: Sequence[Piece] = ()
    dot: float | None = None
    interval: tuple[float, float] | None = None
    tags: Tags | None = None

    @property
    def value(self) -> float:
        """What rows are put in order by."""
        return sum(piece.value for piece in self.pieces) if self.dot is None else self.dot


def bars(
    rows: Sequence[Bar],
    low: float,
    high: float,
    mark: float | None = None,
    *,
    percent: bool = False,
    whole: bool = False,
) -> tuple[Markup, float]:
    """The inside of a chart of these rows and its height.

    `mark` draws a line across all rows; `percent` and `whole` say how ticks are labelled, and which there are.
    """
    axis = Axis(low, high, 8, WIDTH - 8)
    height = _ROW * len(rows) + _FOOT
    parts = []
    for tick in axis.ticks():
        if whole and not float(tick).is_integer():
            continue
        place = f"{axis(tick):.1f}"
        parts.append(
            Markup('<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{}"/>').format(height - _FOOT + 4, x=place)
        )
        label = f"{100 * tick:.0f} %" if percent else brief(tick)
        anchor = "start" if tick == low else "end" if axis(tick) > WIDTH - 20 else "middle"
        parts.append(Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(place, height - 6, anchor, label))
    if mark is not None:
        parts.append(
            Markup('<line class="axis" x1="{x}" x2="{x}" y1="0" y2="{}"/>').format(
                height - _FOOT + 4, x=f"{axis(mark):.1f}"
            )
        )
    for number, row in enumerate(rows):
        parts.append(
            Markup('<g class="row" transform="translate(0 {})" data-value="{:.6g}">{}</g>').format(
                number * _ROW, row.value, _row(row, axis)
            )
        )
    return Markup("").join(parts), height


def _row(row: Bar, axis: Axis) -> Markup:
    tags = row.tags
    label = Markup('<text x="8" y="12">{}</text><text x="{}" y="12" text-anchor="end">{}</text>').format(
        shortened(row.label, _LONGEST - len(row.shown)), WIDTH - 8, row.shown
    )
    marks, left = [label], axis(max(axis.low, 0.0))
    middle = 16 + _BAR / 2
    for piece in row.pieces:
        end = left + axis(axis.low + piece.value) - axis(axis.low)
        marks.append(
            Markup('<rect class="mark {}" x="{:.1f}" y="16" width="{:.1f}" height="{}"{}>{}</rect>').format(
                piece.style,
                min(left, end),
                max(abs(end - left), 0.5),
                _BAR,
                attributes(piece.tags),
                title(piece.tags),
            )
        )
        left = end
    if row.interval is not None:
        marks.append(
            Markup('<line class="interval" x1="{:.1f}" x2="{:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>').format(
                *map(axis, row.interval), y=middle
            )
        )
    if row.dot is not None and tags is not None:
        marks.append(
            Markup('<circle class="mark dot" cx="{:.1f}" cy="{:.1f}" r="5"{}>{}</circle>').format(
                axis(row.dot), middle, attributes(tags), title(tags)
            )
        )
    return Markup("").join(marks)
