"""Entrance: from a connection that a listener has accepted to a session, or to nothing.

All that is settled before the greeting, in this order: who the peer is, whether it may speak, TLS
where the port begins with it. A peer that may not speak hears why, in the place of the greeting.
"""

from __future__ import annotations

import socket as plain_socket

from gevent import socket

from ..config import Config
from ..failures import told
from ..protocol import replies
from ..protocol.envelope import Peer
from ..protocol.reply import Reply
from ..services import Services
from ..session import Session
from .tls import Certificates
from .transport import SocketTransport


class Entrance:
    """The door behind one listener."""

    def __init__(
        self, config: Config, certificates: Certificates | None, services: Services
    ) -> None:
        """Keep what all connections of the listener share.

        Args:
            config: the settings of this listener.
            certificates: of this listener; they were read when root's keys could be.
            services: for the sessions.
        """
        self._config = config
        self._services = services
        self.certificates = certificates
        """What TLS uses here, if it can be had."""

    def admit(
        self, connection: socket.socket, address: object
    ) -> tuple[Session, SocketTransport] | None:
        """A session with a peer and its transport; None if nothing came of it, and all is closed.

        Args:
            connection: as it was accepted; whoever calls does not close it.
            address: of its peer, as accept() gave it.
        """
        transport = SocketTransport(connection, self._config.lmtp_idle_timeout, self.certificates)
        peer = _peer(address)
        refusal = self._refusal(peer)
        tls = None
        is_tcp = connection.family != plain_socket.AF_UNIX
        if self._config.lmtp_tls_only and is_tcp:
            try:
                tls = transport.start_tls()
            except OSError as error:
                self._services.log.line("connection-lost", peer=peer, cause=told(error))
                transport.close(has_quit=False)
                return None
        needs_tls = self._config.lmtp_client_certificate == "required" and is_tcp
        session = Session(transport, peer, self._services, tls, refusal, needs_tls=needs_tls)
        return session, transport

    def _refusal(self, peer: Peer) -> Reply | None:
        """What is to be said to a peer that may not speak."""
        if self._config.lmtp_trusted_ips.trusts(peer.address):
            return None
        self._services.log.line("not-trusted", peer=peer)
        return replies.NOT_TRUSTED


def _peer(address: object) -> Peer:
    match address:
        case (str(host), int(port), *_):
            return Peer(host, port)
        case _:
            return Peer("")
