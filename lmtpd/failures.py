"""The one place where an exception becomes a Reply, or words for the log.

What the client reads is the table's text (lmtpd.protocol.replies); what really happened goes to the
log. Unknown is 451 4.3.0: an unforeseen fault of ours must never bounce mail.

    Exception
     +- DeliveryError            what our own delivery code raises
         +- MailLoopError        554 5.4.6: the message was here before
         +- MailboxStuckError    450 4.2.0: the disk does not answer there
         +- HeldUpError          451 4.3.0: others went first for too long
         +- StoreError           451 4.3.5: the operator's to mend
             +- UnsafeMailboxError   a mailbox name that could leave the store
             +- LinkOutsideError     a symbolic link that does leave it
             +- StoreVanishedError   the store's file system is not mounted any more
             +- HomeError            a user's home that is not there, or not to be written to
"""

from __future__ import annotations

import errno
from typing import TypeVar

from .protocol import replies
from .protocol.reply import Reply

_Error = TypeVar("_Error", bound=BaseException)


class DeliveryError(Exception):
    """A message cannot be put where it belongs."""


class MailLoopError(DeliveryError):
    """The message has been delivered to this recipient before, or passed on too often."""


class MailboxStuckError(DeliveryError):
    """An earlier delivery to the mailbox hangs in a call to the disk."""


class HeldUpError(DeliveryError):
    """A delivery had to wait for so long that it was given up, and never begun."""


class StoreError(DeliveryError):
    """The mail store is not as the operator meant it to be."""


class UnsafeMailboxError(StoreError):
    """A mailbox name that is empty, too long, or could lead out of the store."""


class LinkOutsideError(StoreError):
    """A symbolic link in the store that leads out of it."""


class StoreVanishedError(StoreError):
    """The root was a mount point when we started, and is none now."""


class HomeError(StoreError):
    """A user's home or Maildir that is not there, is not the user's, or would lead elsewhere."""


_BY_ERRNO = {
    errno.ENOSPC: replies.STORAGE_FULL,
    errno.EDQUOT: replies.MAILBOX_FULL,
    errno.EACCES: replies.STORE_MISCONFIGURED,
    errno.EPERM: replies.STORE_MISCONFIGURED,
    errno.EROFS: replies.STORE_MISCONFIGURED,
    errno.EMFILE: replies.OUT_OF_RESOURCES,
    errno.ENFILE: replies.OUT_OF_RESOURCES,
    errno.ENOMEM: replies.OUT_OF_RESOURCES,
}


def reply_for(error: BaseException, quota_exceeded: Reply = replies.MAILBOX_FULL) -> Reply:
    """What to say to the client about a failed delivery.

    Args:
        error: what was raised while one recipient's copy was made.
        quota_exceeded: the operator's choice for EDQUOT: wait for room (452) or bounce (552).
    """
    match error:
        case MailLoopError():
            return replies.MAIL_LOOP
        case MailboxStuckError():
            return replies.MAILBOX_STUCK
        case HeldUpError():
            return replies.HELD_UP
        case StoreError():
            return replies.STORE_MISCONFIGURED
        case OSError(errno=errno.EDQUOT):
            return quota_exceeded
        case OSError(errno=int(number)):
            return _BY_ERRNO.get(number, replies.INTERNAL_FAULT)
        case MemoryError():
            return replies.OUT_OF_RESOURCES
        case _:
            return replies.INTERNAL_FAULT


def kept(error: _Error) -> _Error:
    """The same error, to be kept beyond the function that has caught it: without its frames.

    They hold all that was at hand, the message too, and mostly the error itself: such a circle is
    freed when the collector looks at everything, and with a full disk there are hundreds a second.
    """
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def told(error: BaseException) -> str:
    """What went wrong, for the operator: the kind of error, its words and the file it names."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 - the error of a hook, which may be anybody's code
        words = "its words cannot be had"
    kind = f"{type(error).__name__}: {words}".rstrip(": ")
    return "; ".join([kind, *getattr(error, "__notes__", ())])
