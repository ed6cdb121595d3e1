"""`rule`: explain a rule of the contract."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markdown import Markdown

from ..errors import UsageError
from .console import out


def rule(
    name: Annotated[str, typer.Argument(help="A rule such as LC304; without one, all rules in a line each.")] = "",
    pages: Annotated[
        bool, typer.Option("--pages", help="Print the pages of all rules, as the documentation has them.")
    ] = False,
) -> None:
    """Print what a rule of the contract asks, why, and how to mend a Net that breaks it."""
    from .. import plugins
    from ..contract import RULES

    rules = RULES | {added.rule.id: added.rule for added in plugins.rules()}
    if pages:
        print("\n".join(rules[each].page() for each in sorted(rules)), end="")
        return
    if not name:
        for each in sorted(rules):
            print(f"{each}  {rules[each].stage:<8}  {rules[each].name}")
        return
    if name.upper() not in rules:
        raise UsageError(f"unknown rule `{name}`; `lemur-caption rule` lists them all")
    page = rules[name.upper()].page()
    if out.is_terminal:
        out.print(Markdown(page))
    else:
        print(page, end="")
