"""The hook `passwd`: users of the system, whose mail lies in their homes.

It is for the accounts of people. Those of the system (root, daemons, nobody) are unknown here, by
their number, and so is whoever has no home; what the shell is does not matter, for a mailbox is
often given to somebody who shall not log in.
"""

from __future__ import annotations

from collections.abc import Set

from ..delivery.homes import Homes
from ..delivery.layout import home_of
from ..failures import StoreError
from ..protocol.address import Address
from .verdict import RcptContext, Verdict


class PasswdVerifier:
    """Asks NSS, then looks at the home, and creates nothing."""

    blocking = True
    """NSS waits in C for whatever service is behind it; a home may be on a server."""

    def __init__(self, domains: Set[str], homes: Homes) -> None:
        """Users are recipients in these domains."""
        self._domains = domains
        self._homes = homes

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """Accept a user whose home is there.

        Where the home is not there, or not as it should be, delivery would fail: it is deferred.
        A home that is mounted later must bounce nothing.

        Raises:
            OSError: a service behind NSS has failed.
        """
        if address.domain not in self._domains:
            return None
        user = self._homes.users.find(address.local)
        if user is None:
            return None
        try:
            self._homes.look(user)
        except (OSError, StoreError) as error:
            return Verdict.defer(f"{type(error).__name__}: {error}")
        return Verdict.accept(home_of(user.name))
