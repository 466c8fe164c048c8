"""Recipient verification in the running server: many who ask, back-ends that hang or are down."""

from __future__ import annotations

import resource
import select
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.backend import PORT, Backend
from tests.support.client import Client, Reply
from tests.support.server import Server
from tests.support.waiting import wait_for
from tests.support.waking_hooks import WAYS

ALICE = "alice@example.org"
_SOON_S = 15.0


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A back-end that knows alice, and where the hooks find it."""
    with Backend(ALICE) as running:
        monkeypatch.setenv(PORT, str(running.port))
        yield running


def asking(folder: Path, hook: str = "Asking", **settings: object) -> Server:
    """A server with one worker, so that there is one memory, over the back-end."""
    hooks = f"tests.support.backend:{hook}"
    names: dict[str, object] = {"lmtp_recipient_hooks": hooks, "lmtp_environment": PORT}
    return Server(folder, lmtp_workers=1, **names, **settings)


def begun(server: Server) -> Client:
    """A client in a transaction."""
    client = Client.tcp(server.port)
    client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\n")
    assert [reply.code for reply in client.replies(3)] == [220, 250, 250]
    return client


def rcpt(client: Client, address: str = ALICE) -> Reply:
    return client.command(f"RCPT TO:<{address}>")


def has_heard(client: Client) -> bool:
    """There is something to read; select() would stop at descriptor 1,023."""
    ready = select.poll()
    ready.register(client.fileno(), select.POLLIN)
    return bool(ready.poll(0))


@pytest.mark.parametrize("hook", ["Asking", "AskingOnAThread"])
def test_a_thousand_probes_make_one_query(hook: str, tmp_path: Path, backend: Backend) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    with asking(tmp_path, hook) as server, ExitStack() as clients:
        probes = [clients.enter_context(begun(server)) for _ in range(1000)]
        backend.answering.clear()
        for probe in probes:
            probe.send(f"RCPT TO:<{ALICE}>\r\n".encode())
        wait_for(lambda: backend.queries, _SOON_S, "the query")
        assert not any(map(has_heard, probes))
        backend.answering.set()
        assert [probe.reply().code for probe in probes] == [250] * 1000
        assert rcpt(probes[0]).code == 250
        assert backend.queries == [ALICE]


@pytest.mark.parametrize("kind", ["Waiting", "Blocking"])
def test_of_200_connections_one_hook_never_returns(kind: str, tmp_path: Path) -> None:
    hooks = f"tests.support.slow_hooks:{kind};maildirs"
    settings = {"lmtp_workers": 1, "lmtp_recipient_hooks": hooks, "lmtp_hook_timeout": 8}
    with Server(tmp_path, **settings) as server, ExitStack() as clients:
        for number in range(199):
            server.mailbox(f"user{number}@example.org")
        stuck, *others = (clients.enter_context(begun(server)) for _ in range(200))
        stuck.send(f"RCPT TO:<x@{kind.lower()}.example>\r\n".encode())
        for number, client in enumerate(others):
            client.send(
                f"RCPT TO:<user{number}@example.org>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n".encode()
            )
        for client in others:
            assert [reply.code for reply in client.replies(3)] == [250, 354, 250]
        assert not has_heard(stuck), "the others waited for the hook that hangs"
        reply = stuck.reply()
        assert (reply.code, reply.text[:5]) == (451, "4.4.3")
        wait_for(
            lambda: f"slow_hooks:{kind}: no answer within 8 s" in server.log, _SOON_S, "a line"
        )


@pytest.mark.parametrize("domain", WAYS)
def test_a_hook_that_waits_lets_others_be_served(domain: str, tmp_path: Path) -> None:
    """It is imported after the patch: otherwise he who could wake it would not be heard."""
    hooks = "tests.support.waking_hooks:Waking"
    settings = {"lmtp_workers": 1, "lmtp_recipient_hooks": hooks}
    with Server(tmp_path, **settings) as server, begun(server) as sleeper, begun(server) as other:
        sleeper.send(f"RCPT TO:<sleeper@{domain}>\r\n".encode())
        assert rcpt(other, f"wake@{domain}").code == 250
        assert sleeper.reply().code == 250


def test_threads_that_hang_are_replaced(tmp_path: Path) -> None:
    """More hooks hang at once than there are threads for hooks; others must not starve."""
    hooks = "maildirs;tests.support.slow_hooks:Blocking"
    settings = {"lmtp_recipient_hooks": hooks, "lmtp_hook_timeout": 2, "lmtp_hook_faults": 1000}
    with Server(tmp_path, lmtp_workers=1, **settings) as server, ExitStack() as clients:
        server.mailbox(ALICE)
        lost = [clients.enter_context(begun(server)) for _ in range(40)]
        for number, client in enumerate(lost):
            client.send(f"RCPT TO:<x{number}@blocking.example>\r\n".encode())
        assert {client.reply().code for client in lost} == {451}
        with begun(server) as client:
            assert rcpt(client).code == 250
            assert rcpt(client, "bob@example.org").code == 550


def test_a_back_end_that_is_down_is_left_alone_and_found_again(
    tmp_path: Path, backend: Backend
) -> None:
    with asking(tmp_path, lmtp_verify_negative_ttl=0) as server, begun(server) as client:
        assert rcpt(client).code == 250
        backend.is_mute = True
        codes = [rcpt(client, f"x{number}@example.org").code for number in range(30)]
        assert codes == [451] * 30
        assert 5 <= len(backend.queries) - 1 < 20, "each question reached a back-end that is down"
        assert rcpt(client).code == 250, "what is known holds while the back-end is down"
        backend.stop()
        assert rcpt(client, "bob@example.org").code == 451
        wait_for(lambda: "bob@example.org" in server.log, _SOON_S, "the reason in the log")
        assert "down for " in server.log
        assert server.log.count("hook-down hook=tests.support.backend:Asking") == 1
        assert "the back-end hung up" in server.log
        backend.is_mute = False
        backend.start()
        wait_for(lambda: rcpt(client, "bob@example.org").code == 550, _SOON_S, "an answer")
        wait_for(lambda: "hook-up" in server.log, _SOON_S, "a line in the log")
        assert server.log.count("hook-up hook=tests.support.backend:Asking") == 1
        assert rcpt(client, "carol@example.org").code == 550


def test_an_acceptance_that_has_expired_is_used_while_the_back_end_is_down(
    tmp_path: Path, backend: Backend
) -> None:
    with (
        asking(tmp_path, "Forgetful", lmtp_verify_stale="1h") as server,
        begun(server) as client,
    ):
        assert rcpt(client).code == 250
        wait_for(lambda: rcpt(client) and backend.queries[1:], _SOON_S, "the end of its time")
        backend.stop()
        wait_for(
            lambda: rcpt(client).code == 250 and "stale-answer" in server.log,
            _SOON_S,
            "a stale answer",
        )
        assert rcpt(client, "bob@example.org").code == 451


def test_a_domain_fails_open_if_the_administrator_says_so(tmp_path: Path, backend: Backend) -> None:
    backend.stop()
    with (
        asking(tmp_path, lmtp_fail_open_domains="alarm.example") as server,
        begun(server) as client,
    ):
        assert rcpt(client, "Anybody+x@alarm.example").code == 250
        assert rcpt(client).code == 451
        client.send(b"DATA\r\nSubject: x\r\n\r\n.\r\n")
        assert [reply.code for reply in client.replies(2)] == [354, 250]
        assert len(server.messages("anybody@alarm.example")) == 1
        wait_for(lambda: "delivered" in server.log, _SOON_S, "the lines in the log")
        assert "fail-open recipient=anybody@alarm.example" in server.log
        assert "every address of alarm.example is accepted" in server.log


def test_a_table_is_read_again_and_a_broken_edit_keeps_the_last_good_one(tmp_path: Path) -> None:
    table, team = tmp_path / "table", tmp_path / "team"
    table.write_text("alice@example.org\nteam@example.org :include:team\n", "utf-8")
    team.write_text("alice@example.org\n", "utf-8")
    settings = {"lmtp_recipient_hooks": "table", "lmtp_recipient_table": table}
    with Server(tmp_path, lmtp_workers=1, **settings) as server, begun(server) as client:
        assert rcpt(client, "bob@example.org").code == 550
        table.write_text("bob@example.org\n@@\n", "utf-8")
        wait_for(lambda: "table-kept" in server.log, _SOON_S, "the fault in the log")
        assert f"{table}:2: " in server.log
        assert rcpt(client).code == 250
        table.write_text("bob@example.org\nteam@example.org :include:team\n", "utf-8")
        wait_for(lambda: rcpt(client, "bob@example.org").code == 250, _SOON_S, "the edit to count")
        wait_for(lambda: rcpt(client).code == 550, _SOON_S, "the end of what was kept")
        team.write_text("bob@example.org, carol@example.org\n", "utf-8")
        wait_for(
            lambda: "carol" in client.command("EXPN team@example.org").text, _SOON_S, "the member"
        )
        assert server.log.count("table-read") == 2


def test_a_new_mailbox_exists_at_once(tmp_path: Path) -> None:
    """A refusal that was kept would bounce the first mail of a new mailbox."""
    with Server(tmp_path) as server, begun(server) as client:
        for number in range(3):
            address = f"user{number}@example.org"
            assert rcpt(client, address).code == 550
            server.mailbox(address)
            assert rcpt(client, address).code == 250
