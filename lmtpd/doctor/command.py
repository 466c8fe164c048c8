"""`lmtpd.py doctor`: all checks, begun at once and told in their order."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from ..config import Config, ConfigError
from ..tools.address import address_of
from . import certificates, delivery, hooks, machine, network, postfix, store, systemd
from .examination import Examination
from .finding import Check, Finding, fail, note, ok, warn
from .report import Report

_LOOK_AGAIN = "correct it, then look again with: lmtpd check-config"
_QUICK_S = 15.0
_DISK_S = 20.0
_SEND_S = 60.0


def run(settings: Config, _: list[str], *, recipient: str | None, unit: str, is_json: bool) -> int:
    """Look at everything; 0 if nothing fails, else EX_CONFIG or EX_TEMPFAIL.

    Raises:
        CommandError: the recipient is no address.
    """
    address = address_of(settings, recipient) if recipient else None
    report = Report(is_json=is_json)
    settings, findings = _as_served(settings, unit)
    for finding in findings:
        report.add("configuration", finding, is_configuration=True)
    _examine([*_checks(settings, unit)], report)
    if address:
        # Behind the others: its time shall be that of a delivery, and not of our own crowd.
        look = partial(delivery.look, settings, address)
        _examine([Check("delivery", look, _SEND_S, f"lmtpd send {address}")], report)
    return report.end()


def refused(error: ConfigError, *, is_json: bool, **_: object) -> int:
    """The configuration has faults, and nothing can be looked at that it speaks of; EX_CONFIG."""
    report = Report(is_json=is_json)
    for fault in error.faults:
        report.add("configuration", fail(fault, _LOOK_AGAIN), is_configuration=True)
    unknown = note("nothing else was looked at, for the settings are not known")
    report.add("configuration", unknown, is_configuration=True)
    return report.end()


def _as_served(settings: Config, unit: str) -> tuple[Config, list[Finding]]:
    """The settings as the server has them: of its user, where systemd has made it that one's."""
    findings = [warn(one, _LOOK_AGAIN) for one in settings.warnings]
    if not findings:
        findings.append(ok("sound"))
    if os.geteuid() != 0 or settings.lmtp_user:
        return settings, findings
    name = next(_users(settings), "") or systemd.user_of(unit)
    if not name or name == "root":
        return settings, findings
    findings.append(note(f"the server runs as {name}, and so do the checks"))
    return replace(settings, lmtp_user=name), findings


def _users(settings: Config) -> Iterator[str]:
    """Whose processes listen where lmtpd shall."""
    for place in network.places(settings):
        try:
            found = network.holder(place)
            if found and found.is_lmtpd:
                yield pwd.getpwuid(found.user).pw_name
        except (OSError, KeyError):
            continue


def _checks(settings: Config, unit: str) -> Iterator[Check]:
    root = settings.lmtp_maildir_root
    disk = f"the file system at {root} hangs: dmesg | tail; findmnt -T {root}"
    journal = f"journalctl -u {unit}"
    yield Check("clock", machine.clock, _QUICK_S, "dmesg | tail")
    resolver = "does the resolver answer? resolvectl status; cat /etc/resolv.conf"
    yield Check("host name", partial(machine.host_name, settings), _QUICK_S, resolver)
    yield Check("store", partial(store.look, settings), _DISK_S, disk)
    yield Check("certificate", partial(certificates.look, settings), _QUICK_S, "dmesg | tail", True)
    yield Check("unit", partial(systemd.look, unit), _QUICK_S, "systemctl list-jobs", True)
    yield Check("server", partial(network.server, settings), _QUICK_S, journal)
    for place in network.places(settings):
        look = partial(network.listener, settings, place)
        yield Check("listener", look, _QUICK_S, journal)
    asked_s = hooks.seconds(settings)
    yield Check("hooks", partial(hooks.look, settings), asked_s, "lmtpd check-recipient ADDRESS")
    yield Check("postfix", partial(postfix.look, settings), _DISK_S, "postfix check", True)


def _examine(checks: list[Check], report: Report) -> None:
    begun: list[Examination] = []
    try:
        begun.extend(map(Examination, checks))
        for one in begun:
            for finding in one.findings():
                is_configuration = one.check.is_configuration
                report.add(one.check.about, finding, is_configuration=is_configuration)
    finally:
        for one in begun:
            one.close()
