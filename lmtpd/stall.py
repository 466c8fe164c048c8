"""How long a hook stops the event loop: a process of its own, for lmtpd.testing.

    python -m lmtpd.stall acme.staff:Staff alice@example.org

The hook is imported after the patch and asked by a greenlet, as in a worker; beside it a clock
ticks. It prints the longest time, in seconds, that the clock stood still.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

from .protocol.address import Address
from .protocol.envelope import Peer
from .recipients.loader import load_hooks
from .recipients.verdict import RcptContext, RecipientVerifier
from .server import patch
from .settings import Config

_TICK_S = 0.001
_ROUNDS = 3
"""The shortest stall of these counts: a machine that is busy stops the clock now and then, and so
does a module that is imported by the first question; a hook that blocks does it each time."""


def main(arguments: Sequence[str]) -> float:
    """The longest stall by one of the questions; none if the hook is asked on a real thread."""
    name, *texts = arguments
    patch()
    ((_, hook),) = load_hooks([name], {}, Config())
    if getattr(hook, "blocking", False):
        return 0.0
    addresses = [Address.parse(text) for text in texts]
    return min(max(_stall(hook, address) for address in addresses) for _ in range(_ROUNDS))


def _stall(hook: RecipientVerifier, address: Address) -> float:
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            hook.verify(address, RcptContext(Peer("")))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    longest, last = 0.0, time.monotonic()
    asking.start()
    while True:
        is_over = not asking.is_alive()
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        if is_over:
            break
        time.sleep(_TICK_S)
    if errors:
        raise errors[0]
    return longest


if __name__ == "__main__":
    print(main(sys.argv[1:]))  # noqa: T201
