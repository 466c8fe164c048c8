"""The hook `dns`: whether a domain is ours; its zone says so.

A domain is ours if one of its MX names one of our hosts (`lmtp-dns-mx`), or one of its TXT is our
text (`lmtp-dns-txt`). Without any MX a domain is its own (RFC 5321 5.1).

    ours            no opinion: the next hooks say which mailboxes there are
    not ours        unknown: no further hook is asked; a catch-all that was found before still holds
    SERVFAIL, REFUSED, none         makes no sense: whoever has a domain can have it so
    the name server is silent       for the root too: a fault

So it stands first. It never accepts: whoever has a domain can write our names into his zone.
"""

from __future__ import annotations

from collections.abc import Set

from ..dns import DomainError, exchangers, texts
from ..protocol.address import Address
from .verdict import AnswerError, RcptContext, Verdict

_NOT_OURS = "Mail for this domain is not taken here"


class DnsVerifier:
    """Asks a name server."""

    def __init__(
        self, hosts: Set[str], text: str, server: tuple[str, int] | None, seconds: float
    ) -> None:
        """Prepare questions; nothing is asked yet.

        Args:
            hosts: ours, in lower case.
            text: ours; empty: TXT is not asked for.
            server: whom to ask; None: as in resolv.conf.
            seconds: for all questions about an address.
        """
        self._hosts = hosts
        self._text = text
        self._server = server
        self._seconds = seconds / 3  # TXT, MX, and whether the name server is there

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        """No opinion on an address in a domain of ours, or without a domain of the DNS.

        Raises:
            AnswerError: the name server is there, and cannot tell.
            dns.exception.DNSException: it is not there.
        """
        domain = address.domain
        try:
            if domain.startswith("[") or self._is_ours(domain):
                return None
        except DomainError as error:
            raise AnswerError(str(error)) from error
        return Verdict.unknown(_NOT_OURS)

    def _is_ours(self, domain: str) -> bool:
        if self._text and self._text in texts(domain, self._server, self._seconds):
            return True
        if not self._hosts:
            return False
        found = exchangers(domain, self._server, self._seconds) or [domain]
        return not self._hosts.isdisjoint(found)
