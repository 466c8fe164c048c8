"""The server, in which one call to the disk hangs at one place for as long as a file is there.

    python -m tests.support.hanging CALL PLACE FILE serve --lmtp-port ...

CALL is a method of Disk, PLACE a part of the path that its last descriptor leads to. It hangs as in
the kernel: on its own thread, which knows nothing of it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from lmtpd.delivery.disk import Disk

_LOOK_S = 0.02

# That of before gevent's patch.
_sleep = time.sleep


def hang(call: str, place: str, file: Path) -> None:
    """From now on."""
    real = getattr(Disk, call)

    def hanging(self: Disk, *arguments: Any) -> Any:
        descriptor = [one for one in arguments if isinstance(one, int)][-1]
        if place in os.readlink(f"/proc/self/fd/{descriptor}"):  # noqa: PTH115
            while os.path.exists(file):  # noqa: PTH110 - on a thread of its own
                _sleep(_LOOK_S)
        return real(self, *arguments)

    setattr(Disk, call, hanging)


if __name__ == "__main__":
    hang(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    # Not before: what is built upon Disk takes its methods when it is imported.
    from lmtpd.cli import main

    sys.exit(main(sys.argv[4:]))
