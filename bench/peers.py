"""The servers that are compared: how each is started, all with the same means.

Promises: a peer gets a folder for its files, a root with Maildirs that exist, a port, and perhaps a
certificate; it answers with the command to run. All verify or derive the mailbox from the address,
all log to a file as they do by default.
"""

# ruff: noqa: S603

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.scenarios import Scenario
from bench.servers import PROJECT

# Owner of the mail. Dovecot refuses root, and asks for no account.
_DOVECOT_OWNER = 20_000


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files."""

    cert_path: Path
    key_path: Path


@dataclass(frozen=True, slots=True)
class Place:
    """What a peer may use."""

    folder: Path
    root: Path
    port: int
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that can be measured."""

    name: str
    owner: int | None
    """Who has to own the Maildirs; None: whoever we are."""
    command: Callable[[Place, Scenario], list[str]]


def all_peers(floor: Path) -> dict[str, Peer]:
    """Every peer by its name; `floor` is the program built from floor.c."""
    peers = (
        Peer("lmtpd", None, lmtpd),
        Peer("dovecot", _DOVECOT_OWNER, _dovecot),
        Peer("aiosmtpd", None, _aiosmtpd),
        Peer("floor", None, lambda place, _: [str(floor), str(place.port), str(place.root)]),
    )
    return {peer.name: peer for peer in peers}


def make_certificate(folder: Path) -> Certificate:
    """A self-signed certificate with a P-256 key, valid for a few days."""
    made = Certificate(folder / "bench.crt", folder / "bench.key")
    command = ["openssl", "req", "-x509", "-nodes", "-days", "3", "-subj", "/CN=localhost"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-keyout", str(made.key_path), "-out", str(made.cert_path)]
    subprocess.run(command, capture_output=True, check=True)
    return made


@cache
def lmtpd_can_link() -> bool:
    """Whether this lmtpd knows `lmtp-delivered-to`, without which copies are never the same."""
    command = [sys.executable, "lmtpd.py", "serve", "--help"]
    text = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout
    return "--lmtp-delivered-to" in text


def lmtpd(place: Place, scenario: Scenario) -> list[str]:
    """As shipped: verification, trace fields, log, one worker for each processor."""
    words = [sys.executable, "lmtpd.py", "serve", "--lmtp-port", str(place.port)]
    words += ["--lmtp-maildir-root", str(place.root)]
    if place.certificate:
        words += ["--lmtp-cert-path", str(place.certificate.cert_path)]
        words += ["--lmtp-key-path", str(place.certificate.key_path)]
    if scenario.idle:
        # All of them have one address.
        words += ["--lmtp-max-connections-per-peer", "none"]
    return words + (["--lmtp-delivered-to", "no"] if scenario.linked else [])


def _aiosmtpd(place: Place, _: Scenario) -> list[str]:
    words = [sys.executable, "-m", "bench.peer_aiosmtpd", str(place.port), str(place.root)]
    if place.certificate:
        words += [str(place.certificate.cert_path), str(place.certificate.key_path)]
    return words


def _dovecot(place: Place, _: Scenario) -> list[str]:
    tls = "ssl = no\n"
    if place.certificate:
        paths = place.certificate
        tls = f"ssl = yes\nssl_cert = <{paths.cert_path}\nssl_key = <{paths.key_path}\n"
    text = _DOVECOT.format(place=place, owner=_DOVECOT_OWNER, tls=tls)
    (place.folder / "home").mkdir(exist_ok=True)
    (place.folder / "home").chmod(0o777)
    path = place.folder / "dovecot.conf"
    path.write_text(text)
    return ["dovecot", "-F", "-c", str(path)]


# mail_fsync=optimized syncs the file and new/, as we do. A process serves one connection at a time,
# which is Dovecot's default for LMTP: there may be as many as connections, and it keeps them.
_DOVECOT = """\
base_dir = {place.folder}/run
state_dir = {place.folder}/state
log_path = {place.folder}/dovecot.log
mail_temp_dir = {place.folder}/home
listen = 127.0.0.1
protocols = lmtp
{tls}
postmaster_address = postmaster@bench.test
hostname = bench.test
mail_fsync = optimized
mail_uid = {owner}
mail_gid = {owner}
mail_location = maildir:{place.root}/%d/%n
default_client_limit = 5000
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={place.folder}/home/%u allow_all_users=yes
}}
passdb {{
  driver = static
  args = nopassword=yes
}}
service lmtp {{
  process_limit = 1200
  unix_listener lmtp {{
    mode = 0
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {place.port}
  }}
}}
"""
