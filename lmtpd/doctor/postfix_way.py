"""Way: where a transport of Postfix leads, and whether it arrives here and is let in."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import wiring
from ..client.target import Target
from ..config import Config
from ..delivery.rights import Ids, Rights
from .finding import Finding, Findings, fail, note, warn
from .network import Place, places
from .programs import said

_HOST = re.compile(r"\[([^\]]+)\](?::(\w+))?|([^\[\]:]+)(?::(\w+))?")


@dataclass(frozen=True, slots=True)
class Way:
    """A transport, read."""

    text: str
    service: str
    """Of master.cf: `lmtp`."""
    is_socket: bool
    host: str
    """Or the path of a socket, as Postfix sees it."""
    port: str

    @classmethod
    def read(cls, transport: str, domain: str, values: Mapping[str, str]) -> Way:
        """`lmtp:[127.0.0.1]:11200`, `lmtp:inet:host:port`, `lmtp:unix:/path`, `lmtp:host`."""
        service, _, hop = transport.partition(":")
        if hop.startswith("unix:"):
            return cls(transport, service, True, hop.removeprefix("unix:"), "")
        found = _HOST.fullmatch(hop.removeprefix("inet:") or domain)
        port = values.get("lmtp_tcp_port", "24")
        if not found:
            return cls(transport, service, False, hop, port)
        host, number = found[1] or found[3], found[2] or found[4]
        host = host.removeprefix("IPv6:").removeprefix("ipv6:")
        return cls(transport, service, False, host, number or port)


def judged(way: Way, settings: Config, values: Mapping[str, str]) -> Findings:
    """What is wrong with it; a FAIL where it does not lead here, or is not let in."""
    words = _service(way.service)
    program = words[7] if len(words) > 7 else ""
    if program != "lmtp":
        what = program or "nothing"
        yield fail(f"{way.text}: {way.service} is {what} in master.cf, and no lmtp", "")
        return
    meant = [place for place in places(settings) if _leads_to(way, place, words[4], values)]
    if not meant:
        ours = ", ".join(str(target) for _, target in places(settings)) or "systemd's sockets"
        yield fail(f"{way.text} is not where lmtpd listens ({ours})", "")
        return
    one, target = meant[0]
    yield from (_socket(one, target, values) if way.is_socket else _trust(one, target, values))
    yield from _encryption(one, target, values)


def _service(name: str) -> list[str]:
    """The fields of a line of master.cf; none if it has none of that name (master(5))."""
    lines = said("postconf", "-M", f"{name}/unix").splitlines()
    return lines[0].split() if lines else []


def _leads_to(way: Way, place: Place, chroot: str, values: Mapping[str, str]) -> bool:
    listener, target = place
    if way.is_socket != target.is_path:
        return False
    if way.is_socket:
        queue = Path(values.get("queue_directory", "/"))
        # In a chroot it begins there; else what is relative does.
        path = Path(way.host.lstrip("/") if chroot == "y" else way.host)
        return os.path.realpath(queue / path) == os.path.realpath(target.host)
    try:
        found = socket.getaddrinfo(way.host, way.port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = {one[4][0] for one in found}
    is_any = listener.lmtp_bind_addr in ("0.0.0.0", "::")  # noqa: S104 - read, not bound
    has_port = any(one[4][1] == target.port for one in found)
    return has_port and (is_any or target.host in addresses)


def _trust(one: Config, target: Target, values: Mapping[str, str]) -> Findings:
    """Whether the address from which Postfix comes is one of the trusted."""
    source = _source(target, values)
    names = wiring.trusted_names(
        one, lambda look_up, *rest: look_up(*rest), lambda *_: None, lambda *_, **__: None
    )
    for name in one.lmtp_trusted_ips.names:
        names.resolved(name)
    trusts = one.lmtp_trusted_ips.trusts(source, names.resolved)
    if trusts is None:
        yield warn(
            f"Postfix comes from {source}, and a name in lmtp-trusted-ips cannot be resolved",
            "name the address itself in lmtp-trusted-ips",
        )
    elif not trusts:
        yield fail(
            f"Postfix comes from {source}, which is not trusted ({one.lmtp_trusted_ips})",
            f"add {source} to lmtp-trusted-ips",
        )


def _source(target: Target, values: Mapping[str, str]) -> str:
    """As smtp(8) chooses it: lmtp_bind_address, the one of inet_interfaces, or the kernel's."""
    bound = values.get("lmtp_bind_address", "")
    interfaces = values.get("inet_interfaces", "").split()
    if not bound and len(interfaces) == 1 and re.fullmatch(r"[0-9.]+", interfaces[0]):
        bound = interfaces[0] if not interfaces[0].startswith("127.") else ""
    if bound and ":" not in target.host:
        return bound
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:  # a datagram's connect() sends nothing
        trial.connect((target.host, target.port))
        return str(trial.getsockname()[0])


def _socket(one: Config, target: Target, values: Mapping[str, str]) -> Findings:
    """Whether Postfix's user may write to the socket, and is heard."""
    name = values.get("mail_owner", "postfix")
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return
    trusted = {account.number for account in one.lmtp_trusted_users}
    if trusted and user.pw_uid not in trusted:
        yield fail(f"lmtp-trusted-users does not hold {name}", f"add {name} to lmtp-trusted-users")
    if os.geteuid() != 0 or not os.path.exists(target.host):  # noqa: PTH110
        return
    ids = Ids(user.pw_uid, user.pw_gid, tuple(os.getgrouplist(name, user.pw_gid)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial, Rights().of(ids):
        trial.settimeout(1)
        try:
            trial.connect(target.host)
        except PermissionError:
            yield fail(
                f"{name} may not write to {target}",
                f"set lmtp-socket-group = {name}; namei -l {shlex.quote(target.host)}",
            )
        except OSError:
            return  # nobody listens: that is said elsewhere


def _encryption(one: Config, target: Target, values: Mapping[str, str]) -> Findings:
    wraps = values.get("lmtp_tls_wrappermode") == "yes"
    level = values.get("lmtp_tls_security_level", "")
    if not target.is_path and one.lmtp_tls_only != wraps:
        wanted = "yes" if one.lmtp_tls_only else "no"
        yield fail(
            f"lmtp-tls-only is {str(one.lmtp_tls_only).lower()}, and lmtp_tls_wrappermode is not"
            f" {wanted}",
            f"postconf -e 'lmtp_tls_wrappermode = {wanted}' && postfix reload",
        )
    if level in ("encrypt", "verify", "secure", "fingerprint") and not one.lmtp_cert_path:
        yield fail(
            f"lmtp_tls_security_level = {level}, and lmtpd has no certificate: mail waits",
            "set lmtp-cert-path and lmtp-key-path, or: postconf -X lmtp_tls_security_level",
        )
    elif one.lmtp_cert_path and not level and not target.is_path:
        yield _unused(one)


def _unused(one: Config) -> Finding:
    return note(
        f"{one.lmtp_cert_path[0]} is not used: Postfix speaks in clear",
        "postconf -e 'lmtp_tls_security_level = may' && postfix reload",
    )
