"""What another package may add to lemur-caption. An implementation returns a list or a dict, or None for nothing.

Declare the entry point group `lemur_caption` in the package's metadata, and implement any of these:

    from lemur_caption import hookimpl

    @hookimpl
    def lemur_caption_generators():
        return {"echo": lambda argument: Echo(argument)}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .generator.base import Factory

hookspec = pluggy.HookspecMarker("lemur_caption")
hookimpl = pluggy.HookimplMarker("lemur_caption")


@hookspec
def lemur_caption_generators() -> Mapping[str, Factory] | None:
    """Back ends for language models, by scheme: `--llm scheme:argument` calls the factory with `argument`."""


@hookspec
def lemur_caption_rules() -> list[Any] | None:
    """Contract rules: objects with `.rule`, a `Rule`, and `.check(tree, source)`, which yields findings."""
