"""Each cause of a failed delivery has its reply, and what nobody foresaw never bounces."""

from __future__ import annotations

import errno

import pytest

from lmtpd.failures import (
    DeliveryError,
    HeldUpError,
    LinkOutsideError,
    MailboxStuckError,
    MailLoopError,
    StoreError,
    StoreVanishedError,
    UnsafeMailboxError,
    kept,
    reply_for,
    told,
)
from lmtpd.protocol import replies
from lmtpd.protocol.reply import Reply

BY_ERRNO = {
    errno.ENOSPC: replies.STORAGE_FULL,
    errno.EDQUOT: replies.MAILBOX_FULL,
    errno.EACCES: replies.STORE_MISCONFIGURED,
    errno.EPERM: replies.STORE_MISCONFIGURED,
    errno.EROFS: replies.STORE_MISCONFIGURED,
    errno.EMFILE: replies.OUT_OF_RESOURCES,
    errno.ENFILE: replies.OUT_OF_RESOURCES,
    errno.ENOMEM: replies.OUT_OF_RESOURCES,
}


@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=errno.errorcode.__getitem__)
def test_every_errno(number: int) -> None:
    reply = reply_for(OSError(number, "text", "/srv/mail"))
    assert reply == BY_ERRNO.get(number, replies.INTERNAL_FAULT)
    assert reply.is_transient


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (MailLoopError("x"), replies.MAIL_LOOP),
        (MailboxStuckError("x"), replies.MAILBOX_STUCK),
        (HeldUpError("x"), replies.HELD_UP),
        (StoreError("x"), replies.STORE_MISCONFIGURED),
        (UnsafeMailboxError("x"), replies.STORE_MISCONFIGURED),
        (LinkOutsideError("x"), replies.STORE_MISCONFIGURED),
        (StoreVanishedError("x"), replies.STORE_MISCONFIGURED),
        (DeliveryError("x"), replies.INTERNAL_FAULT),
        (MemoryError(), replies.OUT_OF_RESOURCES),
        (OSError("without a number"), replies.INTERNAL_FAULT),
        (TimeoutError(), replies.INTERNAL_FAULT),
        (ValueError("x"), replies.INTERNAL_FAULT),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"), replies.INTERNAL_FAULT),
        (KeyboardInterrupt(), replies.INTERNAL_FAULT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_exception(error: BaseException, reply: Reply) -> None:
    assert reply_for(error) == reply


@pytest.mark.parametrize("chosen", [replies.MAILBOX_FULL, replies.QUOTA_EXCEEDED], ids=str)
def test_the_operator_chooses_what_a_quota_means(chosen: Reply) -> None:
    assert reply_for(OSError(errno.EDQUOT, "x"), chosen) == chosen
    assert reply_for(OSError(errno.ENOSPC, "x"), chosen) == replies.STORAGE_FULL


def test_only_a_loop_bounces() -> None:
    errors = [OSError(number, "x") for number in errno.errorcode]
    causes = [*errors, StoreError(), MemoryError(), DeliveryError(), RuntimeError()]
    assert all(reply_for(cause).is_transient for cause in causes)
    assert reply_for(MailLoopError()).is_permanent


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise KeyError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("words"), "ValueError: words"),
        (TimeoutError(), "TimeoutError"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (
            FileNotFoundError(2, "No such file", "/srv/mail"),
            "FileNotFoundError: [Errno 2] No such file: '/srv/mail'",
        ),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Unspeakable(), "Unspeakable: its words cannot be had"),
    ],
)
def test_told(error: BaseException, text: str) -> None:
    assert told(error) == text


def test_told_with_what_was_noted() -> None:
    error = ValueError("words")
    error.add_note("more")
    assert told(error) == "ValueError: words; more"


def test_an_error_that_is_kept_has_no_frames() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError as cause:
            raise StoreError("cannot") from cause
    except StoreError as error:
        caught = error
    assert caught.__traceback__ is not None
    found = kept(caught)
    assert found is caught
    assert found.__traceback__ is None
    assert found.__cause__ is not None
    assert found.__cause__.__traceback__ is None
