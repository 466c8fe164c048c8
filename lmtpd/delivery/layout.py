"""Where a mailbox lies below the root; pure names, no disk.

A name that could lead elsewhere is refused, never cleaned up: a cleaned name is somebody else's.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from ..failures import UnsafeMailboxError
from ..protocol.address import Address

NAME_OCTETS = 255
"""NAME_MAX of every common file system."""
KNOWN_MAILBOXES = 1000
"""Places that are not worked out anew for each message."""

# `%2e%2e%2f` is a harmless file name until some other program of the site decodes it.
_ENCODED = re.compile(r"%(?:2e|2f|5c|00)", re.I)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


_HOME = "~"


def is_home(mailbox: str) -> bool:
    """Whether it is that of a user of the system: `~alice`; an address has an `@`."""
    return mailbox.startswith(_HOME) and "@" not in mailbox


def home_of(user: str) -> str:
    """The mailbox of a user of the system."""
    return _HOME + user


def user_of(mailbox: str) -> str:
    """Whose home it is."""
    return mailbox.removeprefix(_HOME)


class Layout:
    """The template of `lmtp-maildir-path`, `{domain}/{local}` as a rule."""

    def __init__(self, template: str) -> None:
        self._template = PurePosixPath(template).parts
        self._known = functools.lru_cache(KNOWN_MAILBOXES)(self._fill)

    def parts(self, mailbox: str) -> tuple[str, ...]:
        """The names of the directories from the root down to the mailbox's own.

        Raises:
            UnsafeMailboxError: one of them would be empty, `.`, `..`, hold a slash or NUL, plain
                or percent-encoded, or be longer than a file system takes.
        """
        return self._known(mailbox)

    def _fill(self, mailbox: str) -> tuple[str, ...]:
        address = Address.of_mailbox(mailbox)
        values = {"local": address.local, "domain": address.domain, "mailbox": mailbox}
        # Each component is filled by itself, so that no value can add or take away a component.
        parts = tuple(part.format(**values) for part in self._template)
        for part in parts:
            _check(part, mailbox)
        for value in values.values():
            if value in (".", "..") or _ENCODED.search(value):
                raise UnsafeMailboxError(f"mailbox {mailbox!r}: unsafe name")
        return parts

    def walk(self, root: str) -> Iterator[str]:
        """Every mailbox whose directory exists, as names that `parts` leads back to.

        Raises:
            OSError: the root cannot be read.
        """
        for parts in _directories(root, len(self._template)):
            mailbox = self._mailbox(parts)
            if mailbox and self._leads_back(mailbox, parts):
                yield mailbox

    def _mailbox(self, parts: tuple[str, ...]) -> str:
        found: dict[str, str] = {}
        for template, part in zip(self._template, parts, strict=True):
            pattern = re.escape(template)
            for name in ("local", "domain", "mailbox"):
                pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>.+)", 1)
            match = re.fullmatch(pattern, part)
            found |= match.groupdict() if match else {}
        local = found.get("local", "")
        return found.get("mailbox") or Address(local, found.get("domain", "")).mailbox

    def _leads_back(self, mailbox: str, parts: tuple[str, ...]) -> bool:
        try:
            return self.parts(mailbox) == parts
        except UnsafeMailboxError:
            return False


def _check(part: str, mailbox: str) -> None:
    try:
        octets = len(part.encode("utf-8"))
    except UnicodeEncodeError:  # a lone surrogate: a name on the disk that is no UTF-8
        octets = 0
    is_odd = part in (".", "..") or "/" in part or _CONTROL.search(part)
    if is_odd or not 0 < octets <= NAME_OCTETS:
        raise UnsafeMailboxError(f"mailbox {mailbox!r}: unsafe name")


def _directories(root: str, depth: int) -> Iterator[tuple[str, ...]]:
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    for name in names:
        if depth == 1:
            yield (name,)
        else:
            below = _directories(os.path.join(root, name), depth - 1)  # noqa: PTH118
            yield from ((name, *rest) for rest in below)
