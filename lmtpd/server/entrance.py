"""Entrance: from a connection that a listener has accepted to a session, or to nothing.

All that is settled before the greeting, in this order: who the peer is (a proxy says who is behind
it), whether it may speak, whether there are too many connections, TLS where the port begins with
it. A peer that may not speak hears why, in the place of the greeting.
"""

from __future__ import annotations

import socket as plain_socket
from dataclasses import replace

from gevent import socket

from ..config import Config
from ..failures import told
from ..protocol import replies
from ..protocol.envelope import Peer
from ..protocol.reply import Reply
from ..services import Services
from ..session import Session
from ..trust import is_within
from .census import Census
from .credentials import credentials_of
from .proxied import client_of
from .tally import Tally
from .tls import Certificates
from .transport import LeftError, SocketTransport


class Entrance:
    """The door behind one listener."""

    def __init__(
        self,
        config: Config,
        services: Services,
        certificates: Certificates | None,
        census: Census,
        tally: Tally,
    ) -> None:
        """Keep what all connections of the listener share.

        Args:
            config: the settings of this listener.
            services: for the sessions.
            certificates: what TLS uses here, if it can be had; they were read as root could.
            census: who is connected.
            tally: for lines of the log that may come by the thousand.
        """
        self._config = config
        self._users = {account.number: account.name for account in config.lmtp_trusted_users}
        self._certificates = certificates
        self._census = census
        self._tally = tally
        offered = replace(services.extensions, starttls=certificates is not None)
        self._services = replace(services, extensions=offered)
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
        config = self._config
        peer = self._peer(connection, address)
        if is_within(peer.address, config.lmtp_proxy_ips):
            try:
                peer = client_of(connection) or peer
            except OSError as error:
                self._log_lost("proxy-refused", peer, error)
                connection.close()
                return None
        transport = SocketTransport(connection, config.lmtp_command_timeout, self._certificates)
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
                self._log_lost("connection-lost", peer, error)
                transport.close(has_quit=False)
                return None
        needs_tls = config.lmtp_client_certificate == "required" and is_tcp
        session = Session(transport, peer, self._services, tls, refusal, needs_tls=needs_tls)
        return session, transport

    def _peer(self, connection: socket.socket, address: object) -> Peer:
        match address:
            case (str(host), int(port), *_):
                return Peer(host, port)
            case _:
                user = credentials_of(connection).user
                # Others have a number alone: to look for a name, NSS may wait for a server.
                return Peer("", user=self._users.get(user, str(user)))

    def _refusal(self, peer: Peer) -> Reply | None:
        """What is to be said to a peer that may not speak."""
        refusal: Reply | None
        if peer.address:
            trust = self._config.lmtp_trusted_ips.trusts(peer.address, self._services.resolved)
            refusal = {True: None, False: replies.NOT_TRUSTED, None: replies.TRUST_UNKNOWN}[trust]
        else:
            # What is no listed name is a number, which is in the list under no name.
            is_trusted = not self._users or peer.user in self._users.values()
            refusal = None if is_trusted else replies.USER_NOT_TRUSTED
        if refusal:
            self._tally.note("not-trusted", peer=str(peer), user=peer.user, reply=str(refusal))
        return refusal

    def _log_lost(self, event: str, peer: Peer, error: OSError) -> None:
        """A health check every second, which leaves at once, is not worth a line."""
        if not isinstance(error, LeftError):
            self._services.log.line(event, peer=peer, cause=told(error))

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
