"""Entrance: from a connection that a listener has accepted to a session, or to nothing.

All that is settled before the greeting, in this order: who the peer is, whether it may speak,
whether there are too many connections, TLS where the port begins with it. A peer that may not speak
hears why, in the place of the greeting.
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
from .census import Census
from .tally import Tally
from .tls import certificates_for
from .transport import SocketTransport


class Entrance:
    """The door behind one listener."""

    def __init__(self, config: Config, services: Services, census: Census, tally: Tally) -> None:
        """Keep what all connections of the listener share.

        Args:
            config: the settings of this listener.
            services: for the sessions.
            census: who is connected.
            tally: for lines of the log that may come by the thousand.

        Raises:
            ConfigError: certificate and key cannot be used.
        """
        self._config = config
        self._services = services
        self._census = census
        self._tally = tally
        self.certificates = certificates_for(config)
        """What TLS uses here, if it can be had."""

    def admit(
        self, connection: socket.socket, address: object
    ) -> tuple[Session, SocketTransport] | None:
        """A session with a peer and its transport; None if nothing came of it, and all is closed.

        Args:
            connection: as it was accepted; whoever calls does not close it.
            address: of its peer, as accept() gave it.
        """
        config = self._config
        transport = SocketTransport(connection, config.lmtp_command_timeout, self.certificates)
        peer = _peer(address)
        refusal = self._refusal(peer)
        tls = None
        is_tcp = connection.family != plain_socket.AF_UNIX
        is_under_tls = config.lmtp_tls_only and is_tcp
        surplus = self._surplus(connection, peer, is_trusted=refusal is None)
        if surplus:
            # In clear it cannot be said to a peer that speaks TLS, and a handshake is dear.
            transport.turn_away(None if is_under_tls else surplus)
            return None
        if is_under_tls:
            try:
                tls = transport.start_tls()
            except OSError as error:
                self._services.log.line("connection-lost", peer=peer, cause=told(error))
                transport.close(has_quit=False)
                return None
        needs_tls = config.lmtp_client_certificate == "required" and is_tcp
        session = Session(transport, peer, self._services, tls, refusal, needs_tls=needs_tls)
        return session, transport

    def _refusal(self, peer: Peer) -> Reply | None:
        """What is to be said to a peer that may not speak."""
        if self._config.lmtp_trusted_ips.trusts(peer.address):
            return None
        self._tally.note("not-trusted", peer=str(peer))
        return replies.NOT_TRUSTED

    def _surplus(self, connection: socket.socket, peer: Peer, *, is_trusted: bool) -> Reply | None:
        """What is to be said to a peer if there are too many connections with this one.

        Those that may not speak hear so and go; they take no room from the others.
        """
        census, peers_most = self._census, self._config.lmtp_max_connections_per_peer
        # All who use the unix socket have one address; who may is for its mode to say.
        if (
            peers_most is not None
            and peer.address
            and census.count(connection, peer.address) > peers_most
        ):
            self._tally.note("too-many-connections", peer=str(peer), most=str(peers_most))
            return replies.TOO_MANY_OF_PEER
        most = self._config.lmtp_max_connections
        if most is not None and is_trusted and census.count_in_all(connection) > most:
            self._tally.note("too-many-connections", most=str(most))
            return replies.TOO_MANY_CONNECTIONS
        return None


def _peer(address: object) -> Peer:
    match address:
        case (str(host), int(port), *_):
            return Peer(host, port)
        case _:
            return Peer("")
