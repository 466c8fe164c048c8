"""The server that one would otherwise write in Python: aiosmtpd's LMTP with `mailbox.Maildir`.

Usage: python -m bench.peer_aiosmtpd PORT ROOT [CERTIFICATE KEY]

It does what the two libraries' documents suggest, and is kind to them: the octets are stored as
they came, without a parse by `email`, which would cost several times as much. It promises less than
lmtpd: `mailbox.Maildir` fsyncs the file and not `new/`, so that a power cut can take what was
acknowledged, and recipients are not verified. One reply for each recipient, which RFC 2033 4.2 asks
for and aiosmtpd does not know, is had by returning several lines as one.
"""

from __future__ import annotations

import mailbox
import signal
import ssl
import sys
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

_LARGEST = 64 * 1024 * 1024


class Delivery:
    """The handler: one `Maildir.add` for each recipient, on the event loop like aiosmtpd's own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._maildirs: dict[str, mailbox.Maildir] = {}

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        """Deliver; the final replies."""
        content = envelope.content
        if not isinstance(content, bytes):
            raise TypeError("decoded data was not asked for")
        text = content.replace(b"\r\n", b"\n")
        for recipient in envelope.rcpt_tos:
            head = f"Return-Path: <{envelope.mail_from}>\nDelivered-To: {recipient}\n"
            self._maildir(recipient).add(head.encode() + text)
        return "\r\n".join("250 2.0.0 Delivered" for _ in envelope.rcpt_tos)

    def _maildir(self, recipient: str) -> mailbox.Maildir:
        if recipient not in self._maildirs:
            local, _, domain = recipient.partition("@")
            folder = self._root / domain / local
            self._maildirs[recipient] = mailbox.Maildir(folder, create=False)
        return self._maildirs[recipient]


class LmtpController(Controller):
    """aiosmtpd's controller, for LMTP."""

    tls: ssl.SSLContext | None = None

    def factory(self) -> LMTP:
        """A session."""
        return LMTP(self.handler, data_size_limit=_LARGEST, tls_context=self.tls)


def main(port: str, root: str, *certificate: str) -> None:
    """Serve until SIGTERM."""
    controller = LmtpController(Delivery(Path(root)), hostname="127.0.0.1", port=int(port))
    if certificate:
        controller.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        controller.tls.load_cert_chain(*certificate)
    # Blocked before the controller starts its thread, which inherits that: nobody else gets it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    controller.start()
    signal.sigwait([signal.SIGTERM])
    controller.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
