"""What may stand as a host name in a greeting, a header field or a file name.

One rule for what the operator writes and for what the DNS says: letters, digits and hyphens
(RFC 952, RFC 1123 2.1). Nothing here asks the network.
"""

from __future__ import annotations

import re
import socket

LONGEST = 255
"""RFC 5321 4.5.3.1.2."""

_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
# The last label is not all digits (RFC 1123 2.1): "10.0.0.1" would pass for an address.
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")


def is_host_name(text: str) -> bool:
    """True for letters, digits and hyphens in dotted labels, without a final dot."""
    return len(text) <= LONGEST and _HOST_NAME.fullmatch(text) is not None


def machine_name() -> str:
    """What the machine calls itself; `localhost` where that is no host name (`my_box`)."""
    name = socket.gethostname()
    return name if is_host_name(name) else "localhost"
