"""Policy: how long one hook may take, how long its answers hold, when it is held to be down."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .loader import HookError

_DECLARED = ("deadline_s", "positive_ttl_s", "negative_ttl_s", "stale_s")


@dataclass(frozen=True, slots=True)
class Policy:
    """How a hook is asked, and how long its answers hold. Times are in seconds."""

    deadline_s: float = 10.0
    positive_ttl_s: float = 300.0
    """For an address that is accepted."""
    negative_ttl_s: float = 10.0
    """For every other opinion, and for none."""
    stale_s: float = 3600.0
    """After its end an acceptance may be used so much longer, while the hook is down."""
    cache_size: int = 10_000
    """Addresses that are kept, apart for both kinds: a flood of guesses drives no real one out."""
    jitter: float = 0.1
    faults: int = 5
    """In a row; then the hook is held to be down."""
    longest_pause_s: float = 60.0

    def of(self, name: str, hook: object) -> Policy:
        """This policy with the times that a hook has as attributes of its own.

        Raises:
            HookError: one of them is no time.
        """
        declared = {key: getattr(hook, key) for key in _DECLARED if hasattr(hook, key)}
        for key, value in declared.items():
            if not isinstance(value, int | float) or not value >= 0:
                raise HookError(f"hook {name}: {key} = {value!r} is no number of seconds")
        return replace(self, **declared)
