"""The plug-in manager. The built-in back ends are plug-ins like any other."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pluggy

from . import hookspecs
from .errors import UsageError
from .hookspecs import hookimpl

if TYPE_CHECKING:
    from .generator.base import Factory

ENTRY_POINT_GROUP = "lemur_caption"


class BuiltIn:
    """What lemur-caption itself adds through its own hooks."""

    @hookimpl
    def lemur_caption_generators(self) -> dict[str, Factory]:
        from .generator.base import builtin_backends

        return builtin_backends()


@functools.cache
def manager() -> pluggy.PluginManager:
    """The manager with the built-ins and every installed plug-in. Raises UsageError for a plug-in that cannot load."""
    plugins = pluggy.PluginManager("lemur_caption")
    plugins.add_hookspecs(hookspecs)
    plugins.register(BuiltIn(), name="built-in")
    try:
        plugins.load_setuptools_entrypoints(ENTRY_POINT_GROUP)
    except Exception as error:  # whatever a stranger's import raises becomes one line
        raise UsageError(
            f"a plug-in of lemur-caption cannot be loaded ({type(error).__name__}: {error}); uninstall or mend it"
        ) from error
    return plugins


def generators() -> dict[str, Factory]:
    """Every back end by scheme. Raises UsageError when two plug-ins claim one scheme."""
    found: dict[str, Factory] = {}
    # pluggy calls the last registered first; the built-ins come first here.
    for backends in reversed(manager().hook.lemur_caption_generators()):
        for scheme, factory in backends.items():
            if scheme in found:
                raise UsageError(f"two plug-ins add the language model `{scheme}`; uninstall one of them")
            found[scheme] = factory
    return found


def rules() -> list[Any]:
    """The contract rules that plug-ins add, in order of their names."""
    added = [rule for rules in manager().hook.lemur_caption_rules() for rule in rules]
    return sorted(added, key=lambda added_rule: added_rule.rule.id)
