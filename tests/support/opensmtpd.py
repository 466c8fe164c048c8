"""A real OpenSMTPD in front of the server, in a machine of its own."""

from __future__ import annotations

import re

from tests.support.mta import SandboxedMta
from tests.support.processes import LOOPBACK
from tests.support.sandbox import HOST_NAME

_CONFIGURATION = "/etc/smtpd.conf"

_TEXT = """\
listen on {host} port {port} hostname {host_name}
queue ttl 1d
{lines}
"""


class OpenSmtpd(SandboxedMta):
    """OpenSMTPD, configured with the lines of docs/mta/opensmtpd.md."""

    name = "opensmtpd"
    features = frozenset({"unix", "bridge"})
    deferral = r'result="?TempFail'
    users = (
        "opensmtpd:x:101:101::/var/lib/opensmtpd/empty:/bin/false\n"
        "opensmtpq:x:102:102::/var/lib/opensmtpd/empty:/bin/false\n"
        "vmail:x:103:103::/:/bin/false\n"
    )
    groups = "opensmtpd:x:101:\nopensmtpq:x:102:\nvmail:x:103:\n"

    def install(self) -> None:
        values = {"host": LOOPBACK, "port": self.port, "host_name": HOST_NAME, "lines": self.lines}
        self.machine.write(_CONFIGURATION[1:], _TEXT.format(**values))
        # What its package does when it is installed.
        self.machine.run("chgrp", "opensmtpq", "/usr/sbin/smtpctl")
        self.machine.run("chmod", "2755", "/usr/sbin/smtpctl")
        self.machine.run("install", "-d", "-m", "711", "/var/spool/smtpd")
        self.machine.start("smtpd", "-d", "-f", _CONFIGURATION)

    def waiting(self) -> int:
        messages = re.findall(r"^([0-9a-f]{8})[0-9a-f]{8}\|", self.envelopes(), re.MULTILINE)
        return len(set(messages))

    def envelopes(self) -> str:
        """Its queue: a line for each recipient."""
        return self.machine.run("smtpctl", "show", "queue")

    def flush(self) -> None:
        self.machine.run("smtpctl", "schedule", "all")

    @property
    def log(self) -> str:
        return self.machine.read("program.out")
