"""What the processes may still do: as the kernel tells it, and as a hook finds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lmtpd.environment import of_programs, scrub
from lmtpd.server import landlock
from tests.support.client import Client
from tests.support.components import require_root
from tests.support.homes import deliver
from tests.support.passage import passage
from tests.support.server import PROJECT, Server

_NOBODY = 65534
_OF_PARENT = 0x5EB


@pytest.fixture
def folder() -> Iterator[Path]:
    """Which other users can pass through."""
    with TemporaryDirectory(prefix="lmtpd-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def dropping(folder: Path, **settings: object) -> Server:
    """A server that root starts and nobody serves."""
    require_root("only root can become another user")
    named: dict[str, object] = {"lmtp_user": "nobody", "lmtp_workers": 1}
    server = Server(folder, prefix=passage(), **named, **settings)
    os.chown(server.root, _NOBODY, _NOBODY)
    server.mailbox("alice@example.org")
    for path in server.root.rglob("*"):
        os.chown(path, _NOBODY, _NOBODY)
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
            assert {*found["Uid"].split(), *found["Gid"].split()} == {str(_NOBODY)}
            assert found["Groups"] == str(_NOBODY)
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
        assert file.stat().st_uid == _NOBODY


def test_a_key_that_root_alone_reads_is_enough_and_its_renewal_is_warned_of(
    folder: Path, certificate: object
) -> None:
    key, chain = folder / "key", folder / "chain"
    key.touch(mode=0o600)
    key.write_bytes(certificate.key_path.read_bytes())  # type: ignore[attr-defined]
    chain.write_bytes(certificate.cert_path.read_bytes())  # type: ignore[attr-defined]
    with (
        dropping(folder, lmtp_cert_path=chain, lmtp_key_path=key, lmtp_tls_only=True) as server,
        Client.tcp(server.port, certificate.client_context()) as client,  # type: ignore[attr-defined]
    ):
        assert client.reply().code == 220
        assert f"the renewal of {key} needs a restart, for nobody cannot read it" in server.log


_HOOK = """\
import os
from lmtpd.recipients.verdict import Verdict

class Curious:
    blocking = True
    def __init__(self, config):
        self.config = config
    def verify(self, address, context):
        try:
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


def test_the_environment_is_scrubbed() -> None:
    """Of what is for nobody here; what a setting names stays."""
    found = {"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET": "x", "MINE": "y", "LMTP_PORT": "1"}
    scrub(found, {"MINE"})
    assert found == {"PATH": "/bin", "LC_ALL": "C", "MINE": "y", "LMTP_PORT": "1"}
    assert of_programs(found) == {"PATH": "/bin", "LC_ALL": "C", "MINE": "y"}
