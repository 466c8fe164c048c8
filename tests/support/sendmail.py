"""A real Sendmail in front of the server, in a machine of its own."""

from __future__ import annotations

from tests.support.mta import SandboxedMta
from tests.support.processes import LOOPBACK
from tests.support.sandbox import HOST_NAME

_PROGRAM = "/usr/libexec/sendmail/sendmail"
_QUEUE = "var/spool/mqueue"

# A bounce of a message that is too large has to be small itself, for it comes to us as well.
# A busy machine is no reason to refuse or to queue: those thresholds go by its load.
_MC = """\
divert(0)
include(`/usr/share/sendmail/cf/m4/cf.m4')
OSTYPE(`debian')
define(`confDOMAIN_NAME', `{host_name}')
define(`confPID_FILE', `/run/sendmail.pid')
define(`confREFUSE_LA', `1000')
define(`confQUEUE_LA', `1000')
define(`confMIN_QUEUE_AGE', `0')
define(`confTO_IDENT', `0')
define(`confTO_CONNECT', `5s')
define(`confTO_ICONNECT', `5s')
define(`confHOST_STATUS_DIRECTORY')
define(`confDONT_PROBE_INTERFACES', `true')
define(`confLOG_LEVEL', `9')
define(`confPRIVACY_FLAGS', `nobodyreturn')
undefine(`ALIAS_FILE')
FEATURE(`nocanonify')
FEATURE(`no_default_msa')
FEATURE(`accept_unresolvable_domains')
DAEMON_OPTIONS(`Name=MTA, Addr={host}, Port={port}')
{lines}
"""


class Sendmail(SandboxedMta):
    """Sendmail, configured with the lines of docs/mta/sendmail.md."""

    name = "sendmail"
    features = frozenset({"bounce", "starttls", "client", "pipelining", "unix", "bridge"})
    deferral = "stat=Deferred"
    users = (
        "smmta:x:101:101::/var/lib/sendmail:/bin/false\n"
        "smmsp:x:102:102::/var/lib/sendmail:/bin/false\nmail:x:8:8::/var/mail:/bin/false\n"
    )
    groups = "smmta:x:101:\nsmmsp:x:102:\n"

    def install(self) -> None:
        values = {"host": LOOPBACK, "port": self.port, "host_name": HOST_NAME, "lines": self.lines}
        self.machine.write("etc/mail/sendmail.mc", _MC.format(**values))
        self.machine.write("etc/mail/local-host-names", f"{HOST_NAME}\n")
        self.machine.write("etc/mail/trusted-users", "root\n")
        self.machine.write("etc/mail/sendmail.cf", self._compiled())
        self.machine.run("install", "-d", "-m", "700", f"/{_QUEUE}")
        self.machine.run("install", "-d", "/var/lib/sendmail")
        self.machine.start_syslog()
        self.machine.start(_PROGRAM, "-bD")

    def waiting(self) -> int:
        return len(list(self.machine.path(_QUEUE).glob("[qh]f*")))

    def flush(self) -> None:
        self.machine.run(_PROGRAM, "-q", "-v")

    @property
    def log(self) -> str:
        return self.machine.read("var/log/syslog") + self.machine.read("program.out")

    def _compiled(self) -> str:
        return self.machine.run("m4", "-D_CF_DIR_=/usr/share/sendmail/cf/", "/etc/mail/sendmail.mc")
