"""Memory: all that the hooks of one process remember, for the commands of an administrator."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.address import Address
from .chain import AddressRules
from .guard import GuardedHook, Health


class Memory:
    """The memories of the hooks, as one."""

    def __init__(self, hooks: Sequence[GuardedHook], rules: AddressRules) -> None:
        """Look into these.

        Args:
            hooks: in the order in which they are asked.
            rules: under which spellings they are asked for an address.
        """
        self._hooks = tuple(hooks)
        self._rules = rules

    def flush(self) -> int:
        """Forget every answer of every hook; how many there were."""
        return sum(hook.flush() for hook in self._hooks)

    def health(self) -> list[Health]:
        """How each hook is."""
        return [hook.health() for hook in self._hooks]

    def recall(self, address: Address) -> list[str]:
        """What the hooks remember of an address, a line for each spelling and hook that do."""
        return [
            f"hook {hook.name} on {spelling}: {told}"
            for spelling in self._rules.spellings(address)
            for hook in self._hooks
            if (told := hook.recall(spelling))
        ]
