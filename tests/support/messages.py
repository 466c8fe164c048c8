"""Messages as they travel and as they lie on disk: CR LF on the wire, LF in a Maildir.

What the server adds are trace fields at the top; what was sent has to follow them unchanged.
"""

from __future__ import annotations

import re

_FIELD_NAME = re.compile(rb"^([!-9;-~]+):", re.M)


def as_stored(message: bytes) -> bytes:
    """What of this message, with CR LF as it was sent, lies in the Maildir."""
    return message.replace(b"\r\n", b"\n")


def field_names(fields: bytes) -> list[str]:
    """The names of header fields, from the top, in lower case; folded lines have none."""
    return [name.decode("ascii").lower() for name in _FIELD_NAME.findall(fields)]


def put_in_front(received: bytes, sent: bytes) -> bytes:
    """What stands in front of the message as it was sent; AssertionError if it is not whole."""
    assert received.endswith(sent), f"sent:\n{sent!r}\nbut this arrived:\n{received!r}"
    return received[: len(received) - len(sent)]
