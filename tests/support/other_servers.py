"""Mail servers that the hook `callout` asks: a second lmtpd, and a Postfix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lmtpd.recipients.verdict import Verdict
from tests.support.backend_contract import ALICE, BOB, ELSEWHERE
from tests.support.certificates import Certificate, make_certificate
from tests.support.components import require, require_root
from tests.support.postfix import Postfix
from tests.support.processes import LOOPBACK
from tests.support.server import Server

ANSWERS = {
    ALICE: Verdict.accept(ALICE),
    "Alice+News@Example.ORG": Verdict.accept(ALICE),
    "sales@example.org": Verdict.accept("sales@example.org"),
    "team@example.org": Verdict.accept("team@example.org"),
    "nobody@example.org": Verdict.unknown(),
    ELSEWHERE: Verdict.unknown(),
    "jürgen@example.org": Verdict.unknown(),
}
"""Aliases and lists are the other server's business: every address that it takes is its own mailbox
here. And what it does not know, nobody is asked about."""


class OtherServer:
    """A second lmtpd, on one port."""

    hook = "callout"
    answers: Mapping[str, Verdict] = ANSWERS
    wrong: Mapping[str, str] = {}

    def __init__(self, folder: Path, **settings: object) -> None:
        table = folder / "behind.table"
        table.write_text(f"sales@example.org {ALICE}\nteam@example.org {ALICE}, {BOB}\n")
        hooks = {"lmtp_recipient_hooks": "table;maildirs", "lmtp_recipient_table": table}
        self._server = Server(folder / "behind", lmtp_workers=1, **hooks, **settings)

    @property
    def settings(self) -> dict[str, object]:
        return {"lmtp_callout_server": f"{LOOPBACK}:{self._server.port}"}

    def start(self) -> None:
        """Serve alice's mailbox."""
        self._server.mailbox(ALICE)
        self._server.start()

    def stop(self) -> None:
        """End, with every connection."""
        self._server.stop()


class OtherServerWithTls(OtherServer):
    """The same, asked after STARTTLS."""

    def __init__(self, folder: Path) -> None:
        self._certificate = make_certificate(folder)
        super().__init__(
            folder,
            lmtp_cert_path=self._certificate.cert_path,
            lmtp_key_path=self._certificate.key_path,
        )

    @property
    def settings(self) -> dict[str, object]:
        return {**super().settings, **believing(self._certificate)}


class OtherPostfix:
    """A Postfix with a map of mailboxes, on one port."""

    hook = "callout"
    answers = ANSWERS
    wrong: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:  # noqa: ARG002 - it has its own
        require("postfix")
        require_root("Postfix starts as root only")
        self._postfix = Postfix(1)  # it delivers nothing
        # What stands further down wins.
        self._postfix.lines += (
            "smtpd_recipient_restrictions = reject_unauth_destination\n"
            f"virtual_mailbox_maps = inline:{{ {ALICE}=alice }}\n"
            f"virtual_alias_maps = inline:{{ sales@example.org={ALICE}, {{ team@example.org ="
            f" {ALICE} {BOB} }} }}\n"
            "recipient_delimiter = +\n"
        )
        self._runs = False

    @property
    def settings(self) -> dict[str, object]:
        return {
            "lmtp_callout_server": f"{LOOPBACK}:{self._postfix.port}",
            "lmtp_callout_protocol": "smtp",
        }

    def start(self) -> None:
        """Serve alice's mailbox."""
        self._postfix.__enter__()
        self._runs = True

    def stop(self) -> None:
        """End, with every connection."""
        if self._runs:
            self._runs = False
            self._postfix.__exit__(None, None, None)


class OtherPostfixWithTls(OtherPostfix):
    """The same, asked after STARTTLS."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._certificate = make_certificate(folder)
        self._postfix.lines += (
            "smtpd_tls_security_level = encrypt\n"
            f"smtpd_tls_chain_files = {self._certificate.key_path} {self._certificate.cert_path}\n"
        )

    @property
    def settings(self) -> dict[str, object]:
        return {**super().settings, **believing(self._certificate)}


def believing(certificate: Certificate) -> dict[str, object]:
    """STARTTLS, and whom to believe."""
    return {"lmtp_callout_starttls": "true", "lmtp_callout_ca_file": certificate.cert_path}
