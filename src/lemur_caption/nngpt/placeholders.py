"""The placeholders of an NNGPT prompt, and what fills them."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..prompt.snippets import Snippet

# What `ab.nn.api.data` says of a Net.
COLUMNS = [
    "id",
    "task",
    "dataset",
    "metric",
    "metric_code",
    "metric_id",
    "nn",
    "nn_code",
    "nn_id",
    "epoch",
    "accuracy",
    "duration",
    "prm",
    "prm_id",
    "transform_code",
    "transform_id",
]
# NNGPT's curriculum has short names for the columns of Nets that it shows side by side.
SHORT = {"acc": "accuracy", "hp": "prm", "tr": "transform_code", "nn": "nn_code"}
UNKNOWN = "not measured"
# What NNGPT's other readers fill without a list: all the other Nets as one text, how many they are, the first one's code.
MODELS, COUNT, BLOCK = "supporting_models_prompt", "n", "block"


@dataclass(frozen=True)
class Place:
    """Where a placeholder's text comes from: the Net (0 the baseline, 1 the first snippet, ...) and its column."""

    net: int
    column: str


@dataclass(frozen=True)
class Filling:
    """What an entry's lists say, (placeholder, value) each. Without an addon task NNGPT leaves the addons empty."""

    inputs: tuple[tuple[str, str], ...]
    addons: tuple[tuple[str, str], ...]
    has_addons: bool

    def places(self, name: str) -> dict[str, Place]:
        """Each placeholder's place. Raises UsageError for a column that LEMUR's results do not have."""
        found = {para: _place(name, para, value) for para, value in self.inputs}
        net, used = 1, set[str]()
        for para, value in self.addons:
            # Each addon is a Net of its own, as in AlterCaptionNN; but what differs in kind belongs to one Net.
            if value in used:
                net, used = net + 1, set()
            used.add(value)
            found[para] = Place(net, _place(name, para, value).column)
        return found

    def nets(self, name: str, text: str) -> int:
        """How many other Nets than the baseline the text shows. Raises as `places` does."""
        fields = {field for _, field, _ in _pieces(text, None)}
        shown = [place.net for place in self.places(name).values()] if self.has_addons else []
        joined = [_place(name, para, value).net for para, value in self.inputs]
        return max([0, *shown, *joined, int(bool(fields & {MODELS, BLOCK}))])


def fill(
    name: str,
    text: str,
    filling: Filling,
    row: Mapping[str, Any],
    snippets: Sequence[Snippet],
    others: Mapping[str, Mapping[str, Any]],
) -> str:
    """The entry's text with its placeholders filled; see `PromptEntry.template`."""
    places = filling.places(name)
    nets = [
        dict(row),
        *(dict(others.get(part.name, {})) | {"nn": part.name, "nn_code": part.code} for part in snippets),
    ]
    values = {
        para: nets[place.net].get(place.column, UNKNOWN) for para, place in places.items() if place.net < len(nets)
    }
    values = dict.fromkeys(places, "") | values
    models = []
    for number, net in enumerate(nets[1:], 1):
        lines = [f"  {para}: {net.get(places[para].column, UNKNOWN)}\n" for para, _ in filling.addons]
        models.append(f"Supporting Model {number}:\n{''.join(lines)}")
    values |= {
        MODELS: "\n".join(models) or "No supporting models available.",
        COUNT: len(snippets),
        BLOCK: snippets[0].code if snippets else "",
    } | values
    filled = []
    for literal, field, form in _pieces(text, set(values)):
        filled.append(literal)
        if field is None:
            continue
        if field not in values:
            raise UsageError(
                f"{name}: nothing fills the placeholder {{{field}}}; name it in `input_list` or `addon_list`"
            )
        value = values[field]
        filled.append(form.format(value) if isinstance(value, (int, float)) else str(value))
    return "".join(filled)


def _place(name: str, para: str, value: str) -> Place:
    """A value is a column of LEMUR's results; with a number behind it, of the Net of that number, the baseline being 1."""
    column, _, number = value.rpartition("_")
    if value in COLUMNS:
        return Place(0, value)
    column = SHORT.get(column, column)
    if column in COLUMNS and number.isdecimal() and int(number) > 0:
        return Place(int(number) - 1, column)
    raise UsageError(
        f"{name}: the placeholder {{{para}}} is to be filled with `{value}`, which LEMUR's results do not have"
    )


def _pieces(text: str, known: set[str] | None) -> list[tuple[str, str | None, str]]:
    """(text, the placeholder after it or None, the format of a number there) each, as str.format reads the text.

    A text whose braces are code cannot be read so; there only the `known` placeholders count, None for any name.
    """
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError:
        parsed = []
    if parsed and all(field is None or field.isidentifier() for _, field, _, _ in parsed):
        return [
            (literal, field, f"{{:{spec}}}" if spec and not conversion else "{}")
            for literal, field, spec, conversion in parsed
        ]
    names = r"\w+" if known is None else "|".join(sorted(known))
    parts = re.split(rf"\{{({names})\}}", text)
    return [(literal, field, "{}") for literal, field in zip(parts[::2], [*parts[1::2], None], strict=True)]
