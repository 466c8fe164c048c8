"""Entrance: from a connection that a listener has accepted to a session, or to nothing.

All that is settled before the greeting, in this order: who the peer is, whether it may speak, TLS
where the port begins with it. A peer that may not speak hears why, in the place of the greeting.
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
from .credentials import credentials_of
from .tls import Certificates
from .transport import SocketTransport


class Entrance:
    """The door behind one listener."""

    def __init__(
        self, config: Config, services: Services, certificates: Certificates | None
    ) -> None:
        """Keep what all connections of the listener share.

        Args:
            config: the settings of this listener.
            services: for the sessions.
            certificates: what TLS uses here, if it can be had.
        """
        self._config = config
        self._users = {account.number: account.name for account in config.lmtp_trusted_users}
        self._certificates = certificates
        offered = replace(services.extensions, starttls=certificates is not None)
        self._services = replace(services, extensions=offered)

    def admit(
        self, connection: socket.socket, address: object
    ) -> tuple[Session, SocketTransport] | None:
        """A session with a peer and its transport; None if nothing came of it, and all is closed.

        Args:
            connection: as it was accepted; whoever calls does not close it.
            address: of its peer, as accept() gave it.
        """
        transport = SocketTransport(connection, self._config.lmtp_idle_timeout, self._certificates)
        peer = self._peer(connection, address)
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
        if peer.address:
            is_trusted = self._config.lmtp_trusted_ips.trusts(peer.address)
            refusal = replies.NOT_TRUSTED
        else:
            # What is no listed name is a number, which is in the list under no name.
            is_trusted = not self._users or peer.user in self._users.values()
            refusal = replies.USER_NOT_TRUSTED
        if is_trusted:
            return None
        self._services.log.line("not-trusted", peer=peer, user=peer.user)
        return refusal
