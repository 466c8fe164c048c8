"""A real Exim in front of the server, in a machine of its own."""

from __future__ import annotations

from tests.support.mta import DOMAIN, SandboxedMta, section
from tests.support.processes import LOOPBACK
from tests.support.sandbox import HOST_NAME

_CONFIGURATION = "etc/exim4/lmtpd.conf"
_LOG = "var/log/exim4/mainlog"

# Quick, quiet and talking to nobody else. Debian's Exim keeps its privilege with a configuration
# that is named in trusted_configs only.
_TEXT = """\
{main}
primary_hostname = {host_name}
local_interfaces = {host}
daemon_smtp_ports = {port}
log_file_path = /var/log/exim4/%slog
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
queue_run_max = 10
acl_smtp_rcpt = to
accept_8bitmime
message_size_limit = 0
no_smtp_enforce_sync
keep_environment =

begin acl
to:
{acl}
  accept
    domains = +local_domains
  deny

begin routers
{routers}
begin transports
{transports}
begin retry
* * F,4h,1s
"""


class Exim(SandboxedMta):
    """Exim, configured with the lines of docs/mta/exim.md."""

    name = "exim"
    features = frozenset(
        {"verify", "bounce", "starttls", "client", "smtputf8", "pipelining", "chunking"}
    )
    deferral = r" == "
    users = "Debian-exim:x:101:101::/var/spool/exim4:/bin/false\n"
    key_owner = "Debian-exim"
    groups = "Debian-exim:x:101:\n"

    def install(self) -> None:
        text = _TEXT.format(
            main=section(self.lines, "main section"),
            acl=section(self.lines, "begin acl"),
            routers=section(self.lines, "begin routers"),
            transports=section(self.lines, "begin transports"),
            host_name=HOST_NAME,
            host=LOOPBACK,
            port=self.port,
            domain=DOMAIN,
        )
        self.machine.write(_CONFIGURATION, text)
        self.machine.write("etc/exim4/trusted_configs", f"/{_CONFIGURATION}\n")
        for folder in ("/var/spool/exim4", "/var/log/exim4"):
            self.machine.run("install", "-d", "-o", "Debian-exim", "-g", "Debian-exim", folder)
        self.machine.start(*self._exim("-bdf"))

    def waiting(self) -> int:
        return int(self.machine.run(*self._exim("-bpc")))

    def flush(self) -> None:
        self.machine.run(*self._exim("-qff"))

    @property
    def log(self) -> str:
        return self.machine.read(_LOG) + self.machine.read("program.out")

    def _exim(self, *arguments: str) -> list[str]:
        return ["exim4", "-C", f"/{_CONFIGURATION}", *arguments]
