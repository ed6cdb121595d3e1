"""`python docs/_tools/commands_page.py` writes what docs/commands.md says of every command, from the commands themselves."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from lemur_caption.cli import app

PAGE = Path(__file__).resolve().parent.parent / "commands.md"
START = "<!-- docs/_tools/commands_page.py writes what follows -->\n"
SHARED = ("--root", "--offline", "--json", "--help")
"""Options that mean the same everywhere: the page explains them once, and a command's section only names them."""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be called, by its whole name (`data prepare`), in the order of `lemur-caption --help`."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for below, nested in getattr(command, "commands", {"": command}).items():
            yield f"{name} {below}".rstrip(), nested


def generated() -> str:
    """The sections of all commands, in Markdown."""
    return "\n".join(_section(name, command) for name, command in commands())


def _section(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join(["lemur-caption", name, "[OPTIONS]", *map(_argument, arguments)])
    described = [(_argument(each), each.help, "") for each in arguments]
    described += [(_option(each), each.help, _default(each)) for each in options if each.opts[0] not in SHARED]
    shared = [f"`{option}`" for option in SHARED if option == "--help" or any(option in each.opts for each in options)]
    lines = [f"## `{name}`\n", f"```text\n{usage}\n```\n", inspect.cleandoc(command.help) + "\n"]
    if described:
        lines += ["| argument or option | says | default |", "| --- | --- | --- |"]
        lines += [f"| `{what}` | {_cell(help_text)} | {default} |" for what, help_text, default in described]
        lines.append("")
    return "\n".join([*lines, f"Also {', '.join(shared)}.\n"])


def _argument(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper()
    several = name if argument.nargs == 1 or name.endswith("...") else f"{name}..."
    return several if argument.required else f"[{several}]"


def _option(option: Any) -> str:
    return " ".join([", ".join(option.opts), *(["…"] * (0 if option.is_flag else max(option.nargs, 1)))])


def _default(option: Any) -> str:
    if option.required:
        return "must be given"
    value = option.default() if callable(option.default) else option.default
    if isinstance(value, enum.Enum):
        return f"`{value.value}`, of {', '.join(f'`{each.value}`' for each in type(value))}"
    if value is None or value is False or value in ("", []):
        return ""
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _cell(text: str) -> str:
    """Text in a table's cell: what is not code must not be read as HTML."""
    pieces = " ".join(text.split()).replace("|", "\\|").split("`")
    pieces[::2] = [piece.replace("<", "&lt;") for piece in pieces[::2]]
    return "`".join(pieces)


if __name__ == "__main__":
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(f"{head}{START}\n{generated()}", encoding="utf-8")
