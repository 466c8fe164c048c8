"""A way to the tests' Python for a server that is not root, wherever that Python lies.

Promises: what other users may pass through changes for that server alone, in a mount namespace of
its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python may lie in a home that only its owner may pass through; here everybody may.
_OPEN = """\
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay -o lowerdir=/root,upperdir=/mnt/upper,workdir=/mnt/work overlay /root
chmod a+x /root
exec "$@"
"""


def passage() -> tuple[str, ...]:
    """What makes a command of root's find it; nothing where everybody does."""
    if not Path(sys.base_prefix).is_relative_to("/root"):
        return ()
    return ("unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", _OPEN, "sh")
