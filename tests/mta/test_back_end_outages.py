"""The directory of recipients dies behind a real Postfix and comes back: no mail bounces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.conftest import QUERY, fill, ldap_settings, sql_url
from tests.support import population
from tests.support.certificates import Certificate
from tests.support.command_line import lmtpd
from tests.support.daemon import Daemon
from tests.support.messages import as_stored
from tests.support.mta import ALICE, HEADER, SENDER, Mta, offer
from tests.support.postfix import Postfix
from tests.support.postgresql import PASSWORD, PostgreSQL
from tests.support.processes import LOOPBACK
from tests.support.server import Server
from tests.support.slapd import Slapd
from tests.support.waiting import wait_for

_SOON_S = 30.0
_KNOWN, _UNKNOWN = "user1@example.org", "nobody@example.org"

Directory = tuple[Daemon, str, dict[str, object]]


@pytest.fixture(params=["sql", "ldap"])
def directory(
    request: pytest.FixtureRequest, tmp_path: Path, certificate: Certificate
) -> Iterator[Directory]:
    """A real one, the hook that asks it, and the settings of that."""
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    if request.param == "ldap":
        with Slapd(certificate, population.ldif()) as slapd:
            yield slapd, "ldap", ldap_settings(f"ldap://{LOOPBACK}:{slapd.port}", password)
        return
    with PostgreSQL(certificate) as postgresql:
        fill(sql_url("postgresql+pg8000", postgresql.port, password=PASSWORD))
        settings = {
            "lmtp_sql_url": sql_url("postgresql", postgresql.port),
            "lmtp_sql_password_file": password,
            "lmtp_sql_query": QUERY,
        }
        yield postgresql, "sql", settings


def offered(mta: Mta, recipient: str) -> tuple[int, str]:
    """What the MTA says to a recipient while the sender listens."""
    with mta.client() as client:
        [reply] = offer(client, [recipient])
    return reply.code, reply.text


@pytest.mark.parametrize("kind", [pytest.param(Postfix, id="postfix")], indirect=True)
def test_mail_waits_while_the_directory_is_dead(
    kind: type[Postfix], directory: Directory, tmp_path: Path
) -> None:
    daemon, hook, settings = directory
    messages = [HEADER + b"message number %d.\r\n" % number for number in range(6)]
    # Behind the directory, so that a bounce would be delivered to where it would be seen.
    hooks = {"lmtp_recipient_hooks": f"{hook};maildirs", "lmtp_hook_pause": 1, **settings}
    with Server(tmp_path, **hooks) as server:
        server.mailbox(SENDER)
        mta = kind(server.port)
        # Otherwise Postfix says for three hours what it heard in the outage.
        mta.lines += "address_verify_negative_refresh_time = 1s\n"
        with mta:
            assert offered(mta, _UNKNOWN)[0] == 550
            clients = [mta.client() for _ in messages[1:]]
            for client in clients:
                mta.open(client, [ALICE])
            daemon.die()
            options = ("--lmtp-port", server.port, "--lmtp-maildir-root", server.root)
            assert lmtpd("check-recipient", "--flush", *options).returncode == 0
            for client, message in zip(clients, messages[1:], strict=True):
                with client:
                    mta.finish(client, message)
            mta.submit([ALICE], messages[0])
            mta.wait_until_deferred(len(messages))
            for recipient in _KNOWN, "nobody.else@example.org":
                code, text = offered(mta, recipient)
                assert code == 450
                assert f"451 4.4.3 <{recipient}>" in text
            mta.flush()
            mta.wait_until_deferred(2 * len(messages))
            waiting = [one["sender"] for one in mta.queue() if "double-bounce" not in one["sender"]]
            assert waiting == [SENDER] * len(messages)
            assert server.messages(ALICE) == server.messages(SENDER) == []
            daemon.come_back()
            mta.drain()
            wait_for(lambda: offered(mta, _KNOWN)[0] == 250, _SOON_S, "the known to be known")
            assert offered(mta, "nobody.more@example.org")[0] == 550
            assert "status=bounced" not in mta.log
        stored = server.messages(ALICE)
        assert len(stored) == len(messages)
        for message in messages:
            assert sum(one.endswith(as_stored(message)) for one in stored) == 1
        assert server.messages(SENDER) == []
