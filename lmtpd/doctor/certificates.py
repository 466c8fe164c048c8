"""Certificates: as the server would read them, and as clients will judge them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ..config import Config, ConfigError
from ..server.certificate import Certificate
from ..server.tls import certificates_of
from .finding import Finding, Findings, Level, fail, ok, warn

_RENEW = "renew it (certbot renew, say); lmtpd reads it again by itself"


def look(settings: Config) -> Findings:
    """All of them, with their keys."""
    try:
        certificates_of(settings.listeners)
    except ConfigError as error:
        for fault in error.faults:
            yield fail(fault, "openssl x509 -noout -text -in CERTIFICATE; is the key that one's?")
    seen: set[tuple[Path, str]] = set()
    for one in settings.listeners:
        for path in one.lmtp_cert_path:
            if (path, one.lmtp_hostname) not in seen:
                seen.add((path, one.lmtp_hostname))
                yield from _of(path)
        yield from _names(one)


def _of(path: Path) -> Findings:
    try:
        found = Certificate.read(path)
    except (OSError, ValueError):
        return  # said already, by the server's own words
    now = datetime.now(UTC)
    is_valid = found.not_before <= now <= found.not_after
    said = list(found.warnings(now))
    for text in said:
        is_flaw = text.endswith(found.flaws)
        level = Level.WARN if is_flaw or is_valid else Level.FAIL
        yield Finding(level, text, "make it anew" if is_flaw else _RENEW)
    if not said:
        yield ok(f"{path} holds until {found.not_after:%Y-%m-%d}: {', '.join(found.names)}")


def _names(listener: Config) -> Findings:
    """Whether one of a listener's certificates is that of our own name."""
    names: set[str] = set()
    for path in listener.lmtp_cert_path:
        try:
            names.update(Certificate.read(path).names)
        except (OSError, ValueError):
            return
    host = listener.lmtp_hostname.lower()
    if names and not names.intersection({host, f"*.{host.partition('.')[2]}"}):
        yield warn(
            f"none is that of {host}, our name: it is {', '.join(sorted(names))}",
            f"have it made for {host}, or set lmtp-hostname; clients that check names go away",
        )
