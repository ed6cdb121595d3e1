"""An experiment's file: the settings that its searches share, and the lists whose combinations are the searches."""

from __future__ import annotations

import difflib
import itertools
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ..errors import UsageError
from ..search.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PARTS = ("title", "text", "search", "vary", "shapes")
_WORDS = {int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Shapes:
    """A rendering of `shapes` of a size of its own: `train` and `val` count images."""

    train: int
    val: int

    def folder(self, data: Path) -> Path:
        """Where it lies under LEMUR's `data`."""
        return data / f"shapes-{self.train}-{self.val}"


@dataclass(frozen=True)
class Protocol:
    """What an experiment asks, and the searches that answer it. `varied` names the settings in which these differ."""

    title: str
    text: str
    varied: tuple[str, ...]
    searches: tuple[Settings, ...]
    shapes: Shapes | None = None

    def label(self, settings: Settings) -> str:
        """A search in a few words, such as `snippets=5 seed=0`."""
        return " ".join(f"{name}={getattr(settings, name)}" for name in self.varied)


def read(path: Path, data: Path) -> Protocol:
    """The experiment of a TOML file. `data` is LEMUR's folder of data sets, under which a `[shapes]` of its own lies.

    Relative paths in `data` and `nets` start at the file's folder. Raises UsageError for a file that cannot be read, an
    unknown key, a value of another type than the setting's, an empty list, and a search that stands there twice.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); name an experiment's TOML file") from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    try:
        return _protocol(content, path, data)
    except UsageError as error:
        raise UsageError(f"{path.name}: {error}") from error


def _protocol(content: dict[str, Any], path: Path, data: Path) -> Protocol:
    for key in content:
        _known(key, _PARTS, "part")
    title, text = (_of_type(key, content.get(key, ""), (str,)) for key in ("title", "text"))
    shared = {
        key: _setting(key, value, "[search]") for key, value in _table(content.get("search", {}), "[search]").items()
    }
    grids = [_grid(table) for table in _tables(content.get("vary"))]
    every = [{key: [value] for key, value in shared.items()}, *grids]
    shapes = _shapes(content["shapes"], every) if "shapes" in content else None
    if shapes is not None:
        shared["data"] = str(shapes.folder(data).resolve())
    searches: list[Settings] = []
    for varied in itertools.chain.from_iterable(map(_combinations, grids)):
        values = shared | varied
        for key in {"data", "nets"} & values.keys():
            values[key] = str((path.parent / values[key]).resolve())
        settings = Settings(**values)
        if settings in searches:
            twice = " ".join(f"{key}={value}" for key, value in varied.items()) or "the same search"
            raise UsageError(f"{twice} stands there twice; leave one out")
        searches.append(settings)
    varied_names = dict.fromkeys(itertools.chain.from_iterable(grids))
    return Protocol(title or path.stem, text, tuple(varied_names), tuple(searches), shapes)


def _shapes(value: Any, settings: list[dict[str, list[Any]]]) -> Shapes:
    table = _table(value, "[shapes]")
    for key in table:
        _known(key, ("train", "val"), "number in [shapes]")
    if missing := {"train", "val"} - table.keys():
        raise UsageError(f"[shapes] lacks `{min(missing)}`; give how many images to render")
    if any("data" in each or set(each.get("dataset", ["shapes"])) != {"shapes"} for each in settings):
        raise UsageError("[shapes] renders the data itself; leave out `data`, and `dataset` or [shapes]")
    counts = {key: _of_type(f"[shapes] {key}", count, (int,)) for key, count in table.items()}
    if min(counts.values()) < 1:
        raise UsageError("[shapes] needs an image or more for `train` and for `val`")
    return Shapes(**counts)


def _tables(value: Any) -> list[dict[str, Any]]:
    """The grids of `vary`: none is one search, a table one grid, several tables a union."""
    if value is None:
        return [{}]
    tables = [_table(item, "[vary]") for item in (value if isinstance(value, list) else [value])]
    if not tables or not all(tables):
        raise UsageError("[vary] is empty; give a list of values for each setting to vary, or leave [vary] out")
    return tables


def _grid(table: dict[str, Any]) -> dict[str, list[Any]]:
    grid = {}
    for key, values in table.items():
        _known(key, _names(), "setting in [vary]")
        if not isinstance(values, list) or not values:
            raise UsageError(f"[vary] {key} is {values!r}; give a list of one value or more")
        grid[key] = [_setting(key, value, "[vary]") for value in values]
    return grid


def _combinations(grid: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} is {value!r}; make it a table")
    return value


def _names() -> list[str]:
    return [field.name for field in fields(Settings)]


def _setting(key: str, value: Any, where: str) -> Any:
    _known(key, _names(), f"setting in {where}")
    kind = get_type_hints(Settings)[key]
    return _of_type(f"{where} {key}", value, tuple(t for t in get_args(kind) or (kind,) if t in _WORDS))


def _of_type(what: str, value: Any, kinds: tuple[type, ...]) -> Any:
    # A bool is an int to Python, and to nobody else.
    if type(value) is int and float in kinds:
        return float(value)
    if type(value) not in kinds:
        raise UsageError(f"{what} is {value!r}; give {_WORDS[kinds[0]]}")
    return value


def _known(key: str, names: Collection[str], what: str) -> None:
    if key not in names:
        near = difflib.get_close_matches(key, names, 1, 0.5)
        advice = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(names)}"
        raise UsageError(f"unknown {what} `{key}`; {advice}")
