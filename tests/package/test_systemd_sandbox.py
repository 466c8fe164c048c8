"""What the unit allows lmtpd's processes, and what it does not, where systemd enforces it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import attempts
from tests.support.installed import Installed
from tests.support.load import Record

REFUSED = {
    "elsewhere": "EROFS",
    "homes": "EACCES",
    "processes": "EPERM",
    "namespace": "EPERM",
    "trace": "EPERM",
    "personality": "EPERM",
    "netlink": "EAFNOSUPPORT",
    "code": "EPERM",
    "privileged": "EPERM",
}
ALLOWED = ("deliver", "temporary")
HOMES = "/usr/share/doc/lmtpd/examples/lmtpd-homes.conf"


@pytest.fixture
def intruded(site: Installed) -> Installed:
    """A hook that tries what it should not, and places that are open to everybody."""
    site.add_module(Path(attempts.__file__))
    for place in (attempts.OPEN, attempts.OPEN_HOME):
        site.run("install", "-d", "-m", "777", str(place))
    # What systemd does is to be seen, and not what Landlock does besides.
    site.configure("lmtp-recipient-hooks = attempts:Attempts", "lmtp-sandbox = off")
    return site


def test_workers_can_only_do_their_work(intruded: Installed) -> None:
    """Each of these their user can do elsewhere."""
    tried = [*REFUSED, *ALLOWED]
    assert set(tried) == set(attempts.ATTEMPTS)
    intruded.systemctl("start", "lmtpd")
    replies = intruded.asked(*(f"{name}@example.org" for name in tried))
    told = {name: reply.text.split()[-1] for name, reply in zip(tried, replies, strict=True)}
    assert told == {**REFUSED, **dict.fromkeys(ALLOWED, "done")}
    assert not intruded.path(str(attempts.TEMPORARY)[1:]).exists(), "its /tmp is its own"
    outside = {name: intruded.run_module("attempts", name) for name in tried}
    assert outside == dict.fromkeys(tried, "done")


def test_mail_goes_to_homes(site: Installed) -> None:
    """By the drop-in that the package has among its examples."""
    site.run("useradd", "--create-home", "bob")
    site.drop_in(site.read(HOMES[1:]))
    site.configure("lmtp-recipient-hooks = passwd;maildirs", "lmtp-default-domain = example.org")
    site.systemctl("start", "lmtpd")
    site.deliver()
    site.deliver("bob@example.org", Record({"bob@example.org": ()}))
    message = site.run("sh", "-c", "stat -c '%U:%G %a' /home/bob/Maildir/new/*")
    assert message == "bob:bob 600\n"
    assert site.holds_all()
