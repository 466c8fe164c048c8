"""Users with homes, and a server that delivers to them.

The server is root, or a user of its own with the capabilities that its unit gives it, and two more,
with which it could write anywhere: neither may help a delivery.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.accounts import Account, Accounts
from tests.support.client import Client, Reply, stuffed
from tests.support.passage import passage
from tests.support.server import Server
from tests.support.strict_load import message

MISCONFIGURED = "451 4.3.5"
UNVERIFIED = "451 4.4.3"
UNKNOWN = "550 5.1.1"
DELIVERED = "250 2.0.0"


@dataclass
class Site:
    """Users, and the folder of the server."""

    accounts: Accounts
    alice: Account
    bob: Account
    vmail: Account
    folder: Path


def settings(**more: object) -> dict[str, object]:
    return {
        "lmtp_recipient_hooks": "passwd;maildirs",
        "lmtp_default_domain": "example.org",
        "lmtp_workers": 1,
        "lmtp_verify_cache_size": 0,
        **more,
    }


def root_server(site: Site, **more: object) -> Server:
    return Server(site.vmail.home, **settings(**more))


def capable_server(site: Site, **more: object) -> Server:
    """Of a user who has these capabilities, some of which it is to give up."""
    names = "+setuid,+setgid,+dac_override,+dac_read_search"
    ids = (f"--reuid={site.vmail.uid}", f"--regid={site.vmail.gid}", "--clear-groups")
    lent = ("setpriv", *ids, f"--inh-caps={names}", f"--ambient-caps={names}", "--")
    prefix = (*passage(), *lent)
    server = Server(site.vmail.home, prefix=prefix, **settings(**more))
    os.chown(server.root, site.vmail.uid, site.vmail.gid)
    return server


def deliver(server: Server, *recipients: str, content: bytes = message("x")) -> list[str]:
    """Code and status of the last reply to each."""
    with Client.tcp(server.port) as client:
        assert client.reply().code == 220
        client.command("LHLO client.example")
        client.command("MAIL FROM:<sender@example.net>")
        replies = [client.command(f"RCPT TO:<{one}>") for one in recipients]
        taken = [number for number, reply in enumerate(replies) if reply.code == 250]
        if taken:
            assert client.command("DATA").code == 354
            client.send(stuffed(content))
            for number in taken:
                replies[number] = client.reply()
        client.command("QUIT")  # we have heard, so that the same again is no repetition
    return [status_of(reply) for reply in replies]


def status_of(reply: Reply) -> str:
    return f"{reply.code} {reply.text.split()[0]}"
