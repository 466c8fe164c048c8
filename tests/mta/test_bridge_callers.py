"""The bridge, run by programs that run others for each message.

dot-forward and fastforward run commands as qmail-local does; they are packaged, qmail itself is
not, so its own qmail-local is run where an administrator has installed it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.components import require, require_root
from tests.support.messages import as_stored, put_in_front
from tests.support.mta import page_lines, section
from tests.support.pop3 import Pop3
from tests.support.processes import LOOPBACK, PROGRAMS_PATH
from tests.support.server import PROJECT, Server

MESSAGE = b"Subject: \xfc\n\n.\nbody\n"
SENDER = "zoe@example.net"
FATES = {"alice@example.org": 0, "unknown@fates.example": 100, "full@fates.example": 111}
PIPE_FATES = {
    "alice@example.org": 0,
    "unknown@fates.example": os.EX_NOUSER,
    "full@fates.example": os.EX_TEMPFAIL,
}

# Where the page has Python and lmtpd, and where they are.
_PLACES = {
    "/opt/lmtpd/.venv/bin/python": shlex.quote(sys.executable),
    "/opt/lmtpd/lmtpd.py": shlex.quote(str(PROJECT / "lmtpd.py")),
}
_QMAIL_LOCAL = Path("/var/qmail/bin/qmail-local")
# Programs of qmail look into the folder that Debian's qmail would have; theirs is a fresh one.
_WITH_QMAIL_HOME = """
mount -t tmpfs none /var/lib
mkdir -p /var/lib/qmail/control
echo example.org > /var/lib/qmail/control/me
exec "$@"
"""

every_fate = pytest.mark.parametrize(("address", "code"), FATES.items())
every_pipe_fate = pytest.mark.parametrize(("address", "code"), PIPE_FATES.items())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: no test depends on what another has delivered."""
    hooks = "tests.support.fates:Fates;maildirs"
    with Server(tmp_path_factory.mktemp("server"), lmtp_recipient_hooks=hooks) as running:
        running.mailbox("alice@example.org")
        yield running


def bridge(server: Server, shape: str, *more: str) -> str:
    """The command for a shell; arguments in `more` are the shell's to expand."""
    program = [sys.executable, str(PROJECT / "lmtpd.py"), "bridge", shape]
    return " ".join([shlex.join([*program, "--to", f"{LOOPBACK}:{server.port}"]), *more])


def run(
    command: Sequence[object], folder: Path, message: bytes = MESSAGE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The message is a file, as qmail gives it: who runs several programs rewinds it."""
    with (folder / "message").open("wb+") as file:
        file.write(message)
        file.seek(0)
        return subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env={"PATH": PROGRAMS_PATH, **environment},
            stdin=file,
            capture_output=True,
            timeout=60,
            check=False,
        )


def qmail_environment(address: str) -> dict[str, str]:
    """What qmail-local sets (qmail-command(8)) below a prefix of control/virtualdomains."""
    local, _, host = address.rpartition("@")
    return {
        "SENDER": SENDER,
        "NEWSENDER": SENDER,
        "RECIPIENT": f"lmtp-{address}",
        "USER": "vmail",
        "HOME": "/",
        "HOST": host,
        "LOCAL": f"lmtp-{local}",
        "EXT": local,
        "EXT2": "",
        "DTLINE": f"Delivered-To: lmtp-{address}\n",
        "RPLINE": f"Return-Path: <{SENDER}>\n",
        "UFLINE": f"From {SENDER} Thu Jan  1 00:00:00 2026\n",
    }


def check_delivery(server: Server, code: int) -> None:
    """Ours is the one message if the code is that of success; else there is none."""
    messages = server.messages("alice@example.org")
    for file in server.message_files("alice@example.org"):
        file.unlink()
    assert len(messages) == (1 if code == 0 else 0)
    for message in messages:
        fields = put_in_front(message, as_stored(MESSAGE))
        assert f"Return-Path: <{SENDER}>\n".encode() in fields


@pytest.fixture
def for_qmail(record_property: Callable[[str, object], None]) -> None:
    """In the table of MTAs the test stands in the column of qmail."""
    record_property("mta", "qmail")


@every_fate
@pytest.mark.usefixtures("for_qmail")
def test_the_line_of_the_page(address: str, code: int, server: Server, tmp_path: Path) -> None:
    """qmail-local gives what stands behind the bar to sh (qmail-command(8))."""
    line = section(page_lines("qmail", "plain"), "/var/qmail/vmail/.qmail-default").strip()
    assert line[0] == "|"
    for place, here in _PLACES.items():
        line = line.replace(place, here)
    line = line.replace("11200", str(server.port))
    result = run(["sh", "-c", line[1:]], tmp_path, **qmail_environment(address))
    assert result.returncode == code, result.stderr
    check_delivery(server, code)


@every_fate
@pytest.mark.usefixtures("for_qmail")
def test_dot_forward(address: str, code: int, server: Server, tmp_path: Path) -> None:
    require("dot-forward")
    require_root("qmail's folder is made in a namespace of its own")
    (tmp_path / "forward").write_text(f'"|{bridge(server, "qmail")}"\n')
    namespace = ["unshare", "--mount", "sh", "-ec", _WITH_QMAIL_HOME, "sh"]
    command = [*namespace, "dot-forward", "forward"]
    result = run(command, tmp_path, **qmail_environment(address))
    # 99 is its success: the message needs no further delivery (dot-forward(1)).
    assert result.returncode == (code or 99), result.stderr
    assert (b"<" + address.encode() + b">: " in result.stderr) is (code != 0)
    check_delivery(server, code)


@every_fate
@pytest.mark.usefixtures("for_qmail")
def test_fastforward(address: str, code: int, server: Server, tmp_path: Path) -> None:
    require("fastforward")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nexec {bridge(server, 'qmail')}\n")
    program.chmod(0o755)
    table = f"lmtp-{address}: |{program};\n".encode()
    assert run(["setforward", "cdb", "cdb.tmp"], tmp_path, table).returncode == 0
    result = run(["fastforward", "cdb"], tmp_path, **qmail_environment(address))
    assert result.returncode == code, result.stderr
    assert (b"<" + address.encode() + b">: " in result.stderr) is (code != 0)
    check_delivery(server, code)


@every_fate
@pytest.mark.usefixtures("for_qmail")
def test_qmail_local(address: str, code: int, server: Server, tmp_path: Path) -> None:
    if not _QMAIL_LOCAL.exists():
        pytest.skip(f"qmail is not packaged, and {_QMAIL_LOCAL} is not installed")
    local, _, host = address.rpartition("@")
    (tmp_path / ".qmail-default").write_text(f"|{bridge(server, 'qmail')}\n")
    envelope = ["vmail", tmp_path, f"lmtp-{local}", "-", local, host, SENDER, "./Mailbox"]
    result = run([_QMAIL_LOCAL, "--", *envelope], tmp_path)
    assert result.returncode == code, result.stderr
    check_delivery(server, code)


@every_pipe_fate
def test_procmail(address: str, code: int, server: Server, tmp_path: Path) -> None:
    """Its messages begin with the line of an mbox; without the flag r they also get its end."""
    require("procmail")
    (tmp_path / "rc").write_text(
        f":0 wr\n| {bridge(server, 'pipe', '-f', SENDER, '--', address)}\nEXITCODE=$?\nHOST\n"
    )
    command = ["procmail", "-f", SENDER, f"DEFAULT={tmp_path}/default", "./rc"]
    result = run(command, tmp_path)
    assert result.returncode == code, result.stderr
    assert not (tmp_path / "default").exists()
    check_delivery(server, code)


@every_pipe_fate
def test_maildrop(address: str, code: int, server: Server, tmp_path: Path) -> None:
    require("maildrop")
    rules = tmp_path / "rules"
    rules.write_text(f'to "| {bridge(server, "pipe", "-f", "$FROM", "--", address)}"\n')
    rules.chmod(0o600)
    result = run(["maildrop", "-f", SENDER, "rules"], tmp_path)
    assert result.returncode == code, result.stderr
    check_delivery(server, code)


ON_THE_WIRE = MESSAGE.replace(b"\n", b"\r\n")


@pytest.fixture
def pop3() -> Iterator[Pop3]:
    """A mailbox elsewhere with the message in it, as it was delivered there."""
    with Pop3(f"Return-Path: <{SENDER}>\r\n".encode() + ON_THE_WIRE) as running:
        yield running


def check_fetched(server: Server, code: int) -> None:
    """Programs that fetch put a field or two in front."""
    messages = server.messages("alice@example.org")
    for file in server.message_files("alice@example.org"):
        file.unlink()
    assert len(messages) == (1 if code == 0 else 0)
    for message in messages:
        assert f"Return-Path: <{SENDER}>\n".encode() in message
        assert message.endswith(MESSAGE)


@every_pipe_fate
def test_fetchmail(address: str, code: int, server: Server, pop3: Pop3, tmp_path: Path) -> None:
    """What could not be delivered for now stays where it was."""
    require("fetchmail")
    rc = tmp_path / "rc"
    mda = bridge(server, "pipe", "-f", "%F", "--", address)
    rc.write_text(
        f'poll "{LOOPBACK}" service {pop3.port} protocol pop3 user "u" password "p" no rewrite'
        f' fetchall sslproto "" mda "{mda}"\n'
    )
    rc.chmod(0o600)
    environment = {"FETCHMAILHOME": str(tmp_path), "HOME": str(tmp_path), "LOGNAME": "root"}
    result = run(["fetchmail", "--invisible", "-f", rc], tmp_path, **environment)
    assert bool(pop3.messages) is (code != 0), result
    check_fetched(server, code)


@pytest.mark.parametrize("destination", ["MDA_external", "MDA_qmaillocal"])
@every_pipe_fate
def test_getmail(
    destination: str, address: str, code: int, server: Server, pop3: Pop3, tmp_path: Path
) -> None:
    """It runs programs in the one way and in the other; what is not delivered stays."""
    require("getmail")
    shape = "pipe" if destination == "MDA_external" else "qmail-local"
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\nexec {bridge(server, shape)} "$@"\n')
    script.chmod(0o755)
    domain = address.rpartition("@")[2]
    options = {
        "MDA_external": f'path = {script}\narguments = ("-f", "%(sender)", "--", "{address}")\n',
        "MDA_qmaillocal": f"qmaillocal = {script}\nlocaldomain = {domain}\n",
    }
    (tmp_path / "rc").write_text(
        "[retriever]\ntype = MultidropPOP3Retriever\nenvelope_recipient = x-original-to:1\n"
        f"server = {LOOPBACK}\nport = {pop3.port}\nusername = u\npassword = p\n"
        f"[destination]\ntype = {destination}\nallow_root_commands = true\n{options[destination]}"
        "[options]\ndelete = true\ndelivered_to = false\nreceived = false\n"
    )
    pop3.messages[0] = f"X-Original-To: {address}\r\n".encode() + pop3.messages[0]
    environment = {"HOME": str(tmp_path)}
    result = run(["getmail", "--getmaildir", tmp_path, "--rcfile", "rc"], tmp_path, **environment)
    assert bool(pop3.messages) is (code != 0), result
    check_fetched(server, code)
