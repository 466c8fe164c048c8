"""What the processes may still do: as the kernel tells it, and as a hook finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lmtpd.environment import of_programs, scrub
from lmtpd.server import landlock
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.components import require_root
from tests.support.homes import deliver
from tests.support.nobody import NOBODY, give, with_python_open
from tests.support.processes import free_port
from tests.support.server import PROJECT, Server
from tests.support.waiting import wait_for

_OF_PARENT = 0x5EB
_SOON_S = 20.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Which other users can pass through."""
    with TemporaryDirectory(prefix="lmtpd-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def dropping(folder: Path, **settings: object) -> Server:
    """A server that root starts and nobody serves."""
    named: dict[str, object] = {"lmtp_user": "nobody", "lmtp_workers": 1}
    server = Server(folder, prefix=with_python_open(), **named, **settings)
    give(server, "alice@example.org")
    return server


def status(path: Path) -> dict[str, str]:
    lines = (line.split(":", 1) for line in (path / "status").read_text().splitlines())
    return {key: value.strip() for key, value in lines}


def test_workers_are_nobody_and_the_parent_has_eight_capabilities(folder: Path) -> None:
    with dropping(folder) as server:
        assert deliver(server, "alice@example.org") == ["250 2.0.0"]
        (worker,) = server.workers()
        threads = list(Path(f"/proc/{worker}/task").iterdir())
        assert len(threads) > 1, "one that delivers, at the least"
        for thread in threads:
            found = status(thread)
            assert {*found["Uid"].split(), *found["Gid"].split()} == {str(NOBODY)}
            assert found["Groups"] == str(NOBODY)
            for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(found[kind], 16) == 0, kind
            assert found["NoNewPrivs"] == "1"
        parent = status(Path(f"/proc/{server.pid}"))
        assert int(parent["CapPrm"], 16) & ~_OF_PARENT == 0
        assert int(parent["CapBnd"], 16) & ~_OF_PARENT == 0
        assert parent["NoNewPrivs"] == "1"
        for pid in (worker, server.pid):
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert "Max core file size        0                    0 " in limits
        (file,) = server.message_files("alice@example.org")
        assert file.stat().st_uid == NOBODY


def test_a_key_that_root_alone_reads_is_enough_and_its_renewal_is_warned_of(
    folder: Path, certificate: Certificate
) -> None:
    key, chain = folder / "key", folder / "chain"
    key.touch(mode=0o600)
    key.write_bytes(certificate.key_path.read_bytes())
    chain.write_bytes(certificate.cert_path.read_bytes())
    with (
        dropping(folder, lmtp_cert_path=chain, lmtp_key_path=key, lmtp_tls_only=True) as server,
        Client.tcp(server.port, certificate.client_context()) as client,
    ):
        assert client.reply().code == 220
        assert f"the renewal of {key} needs a restart, for nobody cannot read it" in server.log


def command(*arguments: object) -> tuple[int, str]:
    """Run a command as root, with lmtp-user; its exit code, and all that it said."""
    done = subprocess.run(
        [*with_python_open(), sys.executable, "lmtpd.py", *map(str, arguments)],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


def check(root: Path, *options: object) -> tuple[int, str]:
    """What check-config says, with a store that may be nobody's."""
    root.mkdir(exist_ok=True)
    named = ("--lmtp-maildir-root", root, "--lmtp-user", "nobody")
    return command("check-config", *named, *options)


def test_the_check_tells_of_a_table_that_only_root_reads(folder: Path) -> None:
    table = folder / "table"
    table.write_text("alice@example.org\n")
    options = ("--lmtp-recipient-hooks", "table", "--lmtp-recipient-table", table)
    table.chmod(0o600)
    code, said = check(folder / "maildirs", *options)
    assert code == os.EX_CONFIG
    assert f"nobody cannot read {table} (lmtp-recipient-table)" in said
    table.chmod(0o644)
    assert check(folder / "maildirs", *options)[0] == 0


def test_the_check_warns_of_a_store_that_is_not_nobodys(folder: Path) -> None:
    root = folder / "maildirs"
    code, said = check(root)
    assert code == 0
    assert f"nobody may not write in {root}" in said
    os.chown(root, NOBODY, NOBODY)
    assert "may not write" not in check(root)[1]


def test_the_check_warns_of_a_key_that_will_not_be_read_again(
    folder: Path, certificate: Certificate
) -> None:
    key, chain = folder / "key", folder / "chain"
    key.touch(mode=0o600)
    key.write_bytes(certificate.key_path.read_bytes())
    chain.write_bytes(certificate.cert_path.read_bytes())
    options = ("--lmtp-cert-path", chain, "--lmtp-key-path", key)
    code, said = check(folder / "maildirs", *options)
    assert code == 0
    assert f"the renewal of {key} needs a restart, for nobody cannot read it" in said
    os.chown(key, 0, NOBODY)
    key.chmod(0o640)
    said = check(folder / "maildirs", *options)[1]
    assert "renewal" not in said
    assert "exposed" not in said


def test_a_mailbox_that_root_makes_is_nobodys(folder: Path) -> None:
    root = folder / "maildirs"
    root.mkdir()
    os.chown(root, NOBODY, NOBODY)
    named = ("--lmtp-maildir-root", root, "--lmtp-user", "nobody")
    code, said = command("mailbox", "add", "alice@example.org", *named)
    assert code == 0, said
    made = sorted(root.rglob("*"))
    assert root / "example.org" / "alice" / "new" in made
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(NOBODY, NOBODY)}


_HOOK = """\
import os
import socket
from lmtpd.recipients.verdict import Verdict

class Curious:
    blocking = True
    def __init__(self, config):
        self.config = config
    def verify(self, address, context):
        try:
            if address.local.startswith("port-"):
                with socket.socket() as bound:
                    bound.bind(("127.0.0.1", int(address.local[5:])))
                return Verdict.unknown()
            open(address.local.replace("=", "/"), "a").close()
        except OSError as error:
            return Verdict.reject(type(error).__name__)
        return Verdict.unknown()
"""


@pytest.mark.parametrize("sandbox", ["auto", "required", "off"])
def test_a_hook_writes_in_the_store_alone(folder: Path, sandbox: str) -> None:
    """As root even, where it is switched on."""
    if landlock.abi() < landlock.LEAST_ABI:
        pytest.skip("this kernel has no Landlock, or one before Linux 5.19")
    (folder / "curious.py").write_text(_HOOK)
    program = (
        "-c",
        (
            f"import sys; sys.path[:0] = ['{folder}', '{PROJECT}'];"
            "from lmtpd.cli import main; sys.exit(main())"
        ),
    )
    settings = {"lmtp_recipient_hooks": "curious:Curious", "lmtp_sandbox": sandbox}
    outside = folder / "outside"
    with (
        Server(folder, program=program, lmtp_workers=1, **settings) as server,
        Client.tcp(server.port) as client,
    ):
        client.send(b"LHLO client.example\r\nMAIL FROM:<>\r\n")
        client.replies(3)
        (server.root / "inside").touch()
        for path in (outside, server.root / "inside"):
            local = str(path).replace("/", "=")
            assert client.command(f"RCPT TO:<{local}@example.org>").code == 550
        assert outside.exists() == (sandbox == "off")
        if landlock.abi() >= landlock.BIND_TCP_SINCE:
            may = client.command("RCPT TO:<port-0@example.org>"), "5.1.1"
            chooses = (
                client.command(f"RCPT TO:<port-{free_port()}@example.org>"),
                "5.1.1" if sandbox == "off" else "5.7.1",
            )
            for reply, status in (may, chooses):
                assert reply.text.startswith(status)


def test_a_store_that_is_mounted_anew_has_workers_that_may_write_to_it(folder: Path) -> None:
    """Landlock knows the old one only: they are replaced, and meanwhile mail is deferred."""
    require_root("only root can mount")
    if landlock.abi() < landlock.LEAST_ABI:
        pytest.skip("this kernel has no Landlock, or one before Linux 5.19")
    server = Server(folder, lmtp_workers=1, lmtp_sandbox="required")
    with store_mounted(server):
        server.start()
        try:
            assert deliver(server, "alice@example.org") == ["250 2.0.0"]
            (first,) = server.workers()
            subprocess.run(["umount", "--lazy", server.root], check=True)
            with store_mounted(server):
                wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "its successor")
                assert deliver(server, "alice@example.org") == ["250 2.0.0"]
                assert len(server.message_files("alice@example.org")) == 1
                assert first not in server.workers()
                assert "store-moved worker=0" in server.log
        finally:
            server.stop()


@contextmanager
def store_mounted(server: Server) -> Iterator[None]:
    """A file system of its own below the store, with a mailbox."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", server.root], check=True)
    try:
        server.mailbox("alice@example.org")
        yield
    finally:
        subprocess.run(["umount", "--lazy", server.root], check=False)


def test_the_environment_is_scrubbed() -> None:
    """Of what is for nobody here; what a setting names stays."""
    found = {"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET": "x", "MINE": "y", "LMTP_PORT": "1"}
    scrub(found, {"MINE"})
    assert found == {"PATH": "/bin", "LC_ALL": "C", "MINE": "y", "LMTP_PORT": "1"}
    assert of_programs(found) == {"PATH": "/bin", "LC_ALL": "C", "MINE": "y"}
