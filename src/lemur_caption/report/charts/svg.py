"""Charts as inline SVG: escaped text, marks that can be hovered, filtered and read out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

WIDTH = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 34


@dataclass(frozen=True)
class Chart:
    """A chart of the table `table`. `description` says in words what it shows."""

    table: str
    title: str
    description: str
    svg: Markup
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Tags:
    """What the page filters a mark by, and what it says when it is pointed at."""

    tip: str
    family: str | None = None
    outcome: str | None = None


@dataclass
class Axis:
    """A linear or logarithmic scale from data to places, with round ticks."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False
    label: str = ""

    def __call__(self, value: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        return self.start + (self._scaled(value) - low) / ((high - low) or 1.0) * (self.stop - self.start)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [step * 10.0**power for power in powers for step in (1, 2, 5)]
            kept = [tick for tick in found if self.low <= tick <= self.high]
            return kept if len(kept) <= 6 else kept[:: math.ceil(len(kept) / 6)]
        raw = (self.high - self.low) / 4 or 1.0
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [step * n for n in range(first, first + 12) if step * n <= self.high + 1e-9 * step]


def span(values: Iterable[float], *, zero: bool = False) -> tuple[float, float]:
    """Lowest and highest value, a little apart; from 0 where `zero` asks for it."""
    found = list(values)
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-9:
        high = low + (abs(low) * 0.1 or 1.0)
    room = 0.05 * (high - low)
    return (low if zero and low == 0.0 else low - room), (high if zero and high == 0.0 else high + room)


def brief(value: float) -> str:
    """A tick's label: 0.25, 1500 as `1.5 k`, 2000000 as `2 M`."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{0.0 if abs(value) < 1e-12 else value:.3g}"


@dataclass
class Plot:
    """A drawing area with two axes; marks are added as they are drawn."""

    x: Axis
    y: Axis
    height: int
    parts: list[Markup] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        xs: tuple[float, float],
        ys: tuple[float, float],
        labels: tuple[str, str],
        *,
        log: bool = False,
        height: int = 250,
    ) -> Plot:
        x = Axis(*xs, _LEFT, WIDTH - _RIGHT, log, labels[0])
        return cls(x, Axis(*ys, height - _BOTTOM, _TOP, False, labels[1]), height)

    def add(self, template: str, tags: Tags, **values: object) -> None:
        """An element out of a template; values are escaped, numbers rounded to a tenth of a unit."""
        plain = {key: f"{value:.1f}" if isinstance(value, float) else value for key, value in values.items()}
        self.parts.append(Markup(template).format(**plain, tags=attributes(tags), title=title(tags)))

    def point(self, x: float, y: float, style: str, tags: Tags, radius: float = 4.0) -> None:
        self.add('<circle class="{style}" cx="{x}" cy="{y}" r="{radius}"{tags}>{title}</circle>', tags,
                 style=f"mark {style}", x=self.x(x), y=self.y(y), radius=radius)  # fmt: skip

    def line(self, points: Sequence[tuple[float, float]], style: str, tags: Tags) -> None:
        places = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.add('<polyline class="{style}" points="{places}"{tags}>{title}</polyline>', tags,
                 style=f"mark curve {style}", places=places)  # fmt: skip

    def level(self, y: float, tags: Tags) -> None:
        self.add('<line class="mark curve baseline" x1="{start}" x2="{stop}" y1="{y}" y2="{y}"{tags}>{title}</line>', tags,
                 start=self.x.start, stop=self.x.stop, y=self.y(y))  # fmt: skip

    def markup(self, *, x_ticks: bool = True, whole: bool = False) -> Markup:
        """The inside of an SVG: grid and axes below, marks above. `whole`: ticks of x are whole numbers."""
        below = []
        for tick in self.y.ticks():
            below.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                self.x.start, self.x.stop, y=f"{self.y(tick):.1f}"))  # fmt: skip
            below.append(_label(self.x.start - 5, self.y(tick) + 4, brief(tick), "end"))
        for tick in self.x.ticks() if x_ticks else []:
            if not whole or float(tick).is_integer():
                below.append(_label(self.x(tick), self.height - _BOTTOM + 15, brief(tick), "middle"))
        below.append(_label((self.x.start + self.x.stop) / 2, self.height - 4, self.x.label, "middle", "x-label"))
        below.append(_label(self.x.start + 2, _TOP, self.y.label, "start"))
        return Markup("").join(below + self.parts)


def attributes(tags: Tags) -> Markup:
    """The attributes that the page filters a mark by."""
    found = Markup("")
    if tags.family is not None:
        found += Markup(' data-family="{}"').format(tags.family)
    if tags.outcome is not None:
        found += Markup(' data-outcome="{}"').format(tags.outcome)
    return found


def title(tags: Tags) -> Markup:
    """What a mark says: a browser shows it, and the page's script makes its own label of it."""
    return Markup("<title>{}</title>").format(tags.tip)


def _label(x: float, y: float, text: str, anchor: str, style: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(style, x, y, anchor, text)


def drawing(identity: str, title: str, description: str, inside: Markup, height: float) -> Markup:
    """A whole SVG with its name and its description. The page lets a reader order its rows, or its class `in-order`."""
    return Markup(
        '<svg id="{id}" class="chart" role="img" tabindex="0" viewBox="0 0 {width} {height:.0f}" '
        'aria-labelledby="{id}-title" aria-describedby="{id}-desc"><title id="{id}-title">{title}</title>'
        '<desc id="{id}-desc">{description}</desc>{inside}</svg>'
    ).format(width=WIDTH, height=height, id=identity, title=title, description=description, inside=inside)
