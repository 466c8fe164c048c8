"""Certificates, keys and versions; whose certificates are good."""

from __future__ import annotations

from pathlib import Path

from lmtpd.checks.check import Check, value
from lmtpd.settings import Config
from lmtpd.worker_rights import ids_of, rights_of_workers, why_unreadable


def _certificate_alone(config: Config) -> str:
    alone = config.lmtp_cert_path and not config.lmtp_key_path
    return "needs the certificate's private key: set lmtp-key-path" if alone else ""


def _key_alone(config: Config) -> str:
    alone = config.lmtp_key_path and not config.lmtp_cert_path
    return "needs the key's certificate: set lmtp-cert-path" if alone else ""


def _keys_lacking(config: Config) -> str:
    certificates, keys = len(config.lmtp_cert_path), len(config.lmtp_key_path)
    if not certificates or not keys or certificates == keys:
        return ""
    return f"needs a key for each certificate, in their order: {certificates} and {keys} are set"


def _tls_without_certificate(config: Config) -> str:
    lacking = config.lmtp_tls_only and not config.lmtp_cert_path
    return "needs a certificate: set lmtp-cert-path and lmtp-key-path" if lacking else ""


def _versions_crossed(config: Config) -> str:
    least, most = config.lmtp_tls_min_version, config.lmtp_tls_max_version
    crossed = most is not None and least > most
    return f"{least} is beyond lmtp-tls-max-version = {most}" if crossed else ""


def _clients_without_authority(config: Config) -> str:
    lacking = config.lmtp_client_certificate != "none" and not config.lmtp_ca_path
    return "needs to know whose certificates are good: set lmtp-ca-path" if lacking else ""


def _clients_without_tls(config: Config) -> str:
    lacking = config.lmtp_client_certificate != "none" and not config.lmtp_cert_path
    return "needs TLS: set lmtp-cert-path and lmtp-key-path" if lacking else ""


def _clients_not_asked(key: str) -> Check:
    """A setting of clients' certificates, where none is asked for."""

    def says(config: Config) -> str:
        unused = value(config, key) and config.lmtp_client_certificate == "none"
        return "is not read, for lmtp-client-certificate is none" if unused else ""

    return Check((key, "lmtp-client-certificate"), says)


def _exposed_key(config: Config) -> str:
    """As PostgreSQL judges: ours alone, or root's and a group's to read."""
    group = _group_of_workers(config)
    exposed = [str(path) for path in config.lmtp_key_path if _is_exposed_file(path, group)]
    if not exposed:
        return ""
    return f"{', '.join(exposed)} can be read by others: chmod 0600, or root's own and chmod 0640"


def _group_of_workers(config: Config) -> int | None:
    try:
        ids = ids_of(config)
    except LookupError:
        return None  # said already: there is no such user
    return ids.gid if ids else None


def _is_exposed_file(path: Path, group: int | None) -> bool:
    try:
        info = path.stat()
    except OSError:
        return False  # said already: it cannot be read
    may_group_read = info.st_uid == 0 or info.st_gid == group
    return bool(info.st_mode & (0o037 if may_group_read else 0o077))


def _renewal_refused(config: Config) -> str:
    """A certificate is read again when it is renewed, and by then we are not root any more."""
    with rights_of_workers(config) as are_theirs:
        paths = [*config.lmtp_cert_path, *config.lmtp_key_path, config.lmtp_ca_path]
        refused = [str(one) for one in paths if are_theirs and one and why_unreadable(one)]
    if not refused:
        return ""
    return (
        f"the renewal of {', '.join(refused)} needs a restart, for {config.lmtp_user} cannot read"
        f" it: give it group {config.lmtp_group or config.lmtp_user} and mode 0640"
    )


FAULTS = (
    Check(("lmtp-cert-path", "lmtp-key-path"), _certificate_alone),
    Check(("lmtp-key-path", "lmtp-cert-path"), _key_alone),
    Check(("lmtp-key-path", "lmtp-cert-path"), _keys_lacking),
    Check(("lmtp-tls-only", "lmtp-cert-path"), _tls_without_certificate),
    Check(("lmtp-tls-min-version", "lmtp-tls-max-version"), _versions_crossed),
    Check(("lmtp-client-certificate", "lmtp-cert-path"), _clients_without_tls),
    Check(("lmtp-client-certificate", "lmtp-ca-path"), _clients_without_authority),
)
WARNINGS = (
    Check(("lmtp-key-path", "lmtp-user", "lmtp-group"), _exposed_key),
    Check(
        ("lmtp-key-path", "lmtp-cert-path", "lmtp-ca-path", "lmtp-user", "lmtp-group"),
        _renewal_refused,
    ),
    *map(_clients_not_asked, ("lmtp-ca-path", "lmtp-client-names", "lmtp-client-fingerprints")),
)
