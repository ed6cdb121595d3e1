"""One HTML page that holds everything: tables, charts, images, style and script; it asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from ..charts import draw
from ..charts.svg import Chart
from ..source import Source
from ..table import Column, Row, Table, shortened, text
from ..tables import build
from ..tables.samples import MOST_IMAGES, gallery
from .command import command
from .images import inlined

# How many rows of each table a page holds: as many as keep it under MOST_BYTES.
_ROWS = (1_500, 500, 150, 50)
MOST_BYTES = 3_000_000
_LONGEST_CELL = 240
# What stands on one line in a table; longer text is broken.
_LONGEST_LINE, _LONGEST_HEAD = 40, 12
# Of how many runs and budgets the page's head speaks one by one.
_MOST_FACTS = 3


@dataclass(frozen=True)
class Fact:
    """What a reader wants to know first, and the command that prints it."""

    name: str
    value: str
    more: str
    command: str


@dataclass(frozen=True)
class Section:
    """A table of the page, its charts and the command that prints it."""

    table: Table
    charts: Sequence[Chart]
    command: str
    most_rows: int

    @property
    def title(self) -> str:
        return self.table.readable()[0]

    @property
    def cut(self) -> bool:
        return len(self.table.rows) > self.most_rows

    @property
    def columns(self) -> list[Column]:
        return self.table.readable()[1]

    @property
    def rows(self) -> list[Row]:
        return self.table.rows[: self.most_rows]


def page(source: Source, tables: Sequence[Table], made: str, folders: Mapping[int, Path] | None = None) -> str:
    """The page of these tables. `folders`: where the images of each run's data lie, in COCO's layout.

    All that comes from records is escaped, and a policy in the page lets no script run but its own.
    """
    charts = draw(source, tables)
    images = gallery(source) if any(table.name == "samples" for table in tables) else []
    shown = [(image, inlined((folders or {}).get(image.run), image.name)) for image in images[:MOST_IMAGES]]
    css, js = _read("page.css"), _read("page.js")
    facts = _facts(source)
    html = ""
    for most in _ROWS:
        html = (
            _environment()
            .get_template("page.html.jinja")
            .render(
                sections=[Section(t, charts.get(t.name, []), command(source, t.name), most) for t in tables],
                gallery=shown,
                families=sorted({net.family for net in source.candidates}),
                outcomes=sorted({net.outcome for net in source.candidates}),
                facts=facts,
                made=made,
                runs=[f"{run.run.id} ({run.state})" for run in source.runs],
                css=Markup(css),
                js=Markup(js),
                css_hash=_digest(css),
                js_hash=_digest(js),
            )
        )
        if len(html.encode("utf-8")) < MOST_BYTES:
            break
    return html


def _facts(source: Source) -> list[Fact]:
    """Numbers of the tables `runs`, `success` and `best`, as those print them."""
    ((runs,), (success,), (best,)) = (build(source, name) for name in ("runs", "success", "best"))
    found = []
    if len(runs.rows) <= _MOST_FACTS:
        for row in runs.rows:
            asked = "" if row["asked"] is None else f"of {row['asked']} asked for"
            found.append(Fact(f"run {row['run']}, ended", str(row["ended"]), asked, command(source, "runs")))
    if success.rows:
        row = success.rows[0]
        rate, low, high = (
            text(row[key], "percent").replace(" ", "\N{NO-BREAK SPACE}") for key in ("rate", "low", "high")
        )
        share = f"of {row['ended']}: {rate}, 95 % interval {low} to {high}"
        found.append(Fact("trained", str(row["succeeded"]), share, command(source, "success")))
        found.append(Fact("improved on the baselines", str(row["improved"]), "", command(source, "success")))
    hand_made = {net.entry.candidate.name for net in source.nets if net.is_baseline}
    # The best of a budget comes first among its rows.
    tops: dict[str, Row] = {}
    for row in best.rows:
        if row["family"] not in hand_made:
            tops.setdefault(str(row["budget"]), row)
    for budget, row in list(tops.items())[:_MOST_FACTS]:
        against = "" if row["difference"] is None else f", {float(row['difference']):+.4f} against the best baseline"
        found.append(
            Fact(f"best, {budget}", text(row["last"], "metric"), f"{row['id']}{against}", command(source, "best"))
        )
    return found


def _digest(content: str) -> str:
    """As a content security policy names what may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode('utf-8')).digest()).decode('ascii')}"


def _prose(value: str) -> Markup:
    """Our own words, with what stands in backquotes as code."""
    pieces = value.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece) for number, piece in enumerate(pieces)
    )


def _read(name: str) -> str:
    return files("lemur_caption").joinpath("templates", "report", name).read_text(encoding="utf-8").strip()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lemur_caption", "templates/report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda value, kind: shortened(text(value, kind), _LONGEST_CELL)
    environment.filters["prose"] = _prose
    environment.tests["long"] = lambda value, kind: len(text(value, kind)) > _LONGEST_LINE
    environment.tests["broken"] = lambda label: len(label) > _LONGEST_HEAD
    return environment
