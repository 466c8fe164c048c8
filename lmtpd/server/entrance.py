"""Entrance: from a connection that a listener has accepted to a session, or to nothing.

All that is settled before the greeting, in this order: who the peer is (a proxy says who is behind
it), whether it may speak, TLS where the port begins with it. A peer that may not speak hears why,
in the place of the greeting.
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
from ..trust import is_within
from .proxied import client_of
from .tls import certificates_for
from .transport import LeftError, SocketTransport


class Entrance:
    """The door behind one listener."""

    def __init__(self, config: Config, services: Services) -> None:
        """Keep what all connections of the listener share.

        Args:
            config: the settings of this listener.
            services: for the sessions.

        Raises:
            ConfigError: certificate and key cannot be used.
        """
        self._config = config
        self._services = services
        self.certificates = certificates_for(config)
        """What TLS uses here, if it can be had."""
        for name in config.lmtp_trusted_ips.names:
            services.resolved(name)  # begins to look

    def admit(
        self, connection: socket.socket, address: object
    ) -> tuple[Session, SocketTransport] | None:
        """A session with a peer and its transport; None if nothing came of it, and all is closed.

        Args:
            connection: as it was accepted; whoever calls does not close it.
            address: of its peer, as accept() gave it.
        """
        peer = _peer(address)
        if is_within(peer.address, self._config.lmtp_proxy_ips):
            try:
                peer = client_of(connection) or peer
            except OSError as error:
                self._log_lost("proxy-refused", peer, error)
                connection.close()
                return None
        transport = SocketTransport(connection, self._config.lmtp_idle_timeout, self.certificates)
        refusal = self._refusal(peer)
        tls = None
        is_tcp = connection.family != plain_socket.AF_UNIX
        if self._config.lmtp_tls_only and is_tcp:
            try:
                tls = transport.start_tls()
            except OSError as error:
                self._log_lost("connection-lost", peer, error)
                transport.close(has_quit=False)
                return None
        needs_tls = self._config.lmtp_client_certificate == "required" and is_tcp
        session = Session(transport, peer, self._services, tls, refusal, needs_tls=needs_tls)
        return session, transport

    def _refusal(self, peer: Peer) -> Reply | None:
        """What is to be said to a peer that may not speak."""
        is_trusted = self._config.lmtp_trusted_ips.trusts(peer.address, self._services.resolved)
        if is_trusted:
            return None
        reply = replies.TRUST_UNKNOWN if is_trusted is None else replies.NOT_TRUSTED
        self._services.log.line("not-trusted", peer=peer, reply=reply)
        return reply

    def _log_lost(self, event: str, peer: Peer, error: OSError) -> None:
        """A health check every second, which leaves at once, is not worth a line."""
        if not isinstance(error, LeftError):
            self._services.log.line(event, peer=peer, cause=told(error))


def _peer(address: object) -> Peer:
    match address:
        case (str(host), int(port), *_):
            return Peer(host, port)
        case _:
            return Peer("")
