"""From the names in `lmtp-recipient-hooks` to hooks.

A bare word is one of ours or an entry point of the group `lmtpd.recipients`; `pkg.mod:attr` is a
dotted path. Each names a function or class that is called with the configuration. All are built at
start: one that cannot be stops the start, not the mail.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, TypeVar

from ..failures import told
from .verdict import RecipientVerifier

ENTRY_POINTS = "lmtpd.recipients"

_Config = TypeVar("_Config")


class HookError(Exception):
    """A hook cannot be had; the text names it and says why."""


def load_hooks(
    names: Sequence[str],
    shipped: Mapping[str, Callable[[_Config], RecipientVerifier]],
    config: _Config,
) -> list[tuple[str, RecipientVerifier]]:
    """Build every hook.

    Raises:
        HookError: a name is unknown, or its hook fails to import or to start.
    """
    return [(name, _load(name, shipped, config)) for name in names]


def _load(
    name: str, shipped: Mapping[str, Callable[[_Config], RecipientVerifier]], config: _Config
) -> RecipientVerifier:
    try:
        factory = shipped.get(name) or _find(name, shipped)
        hook: RecipientVerifier = factory(config)
    except HookError:
        raise
    except Exception as error:  # anybody's code, run once at start
        raise HookError(f"hook {name}: {told(error)}") from error
    if not callable(getattr(hook, "verify", None)):
        raise HookError(f"hook {name}: has no method verify(address, context)")
    return hook


def _find(name: str, shipped: Mapping[str, object]) -> Callable[[Any], Any]:
    if ":" in name:
        found: Callable[[Any], Any] = pkgutil.resolve_name(name)
        return found
    for point in entry_points(group=ENTRY_POINTS, name=name):
        loaded: Callable[[Any], Any] = point.load()
        return loaded
    known = ", ".join(sorted(shipped))
    raise HookError(f"hook {name}: unknown; shipped are {known}, others are package.module:name")
