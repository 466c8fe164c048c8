"""The hook `passwd` with users of this machine, before the running server."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lmtpd.server import landlock
from tests.support import components
from tests.support.accounts import Account
from tests.support.client import Client, stuffed
from tests.support.homes import (
    DELIVERED,
    MISCONFIGURED,
    UNKNOWN,
    UNVERIFIED,
    Site,
    deliver,
    dropped_server,
    root_server,
    settings,
    status_of,
)
from tests.support.nobody import with_python_open
from tests.support.server import PROJECT, Server
from tests.support.strict_load import message

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 40_000


def check_owned(account: Account, *, content: bytes = message("x")) -> None:
    """One message, whole, and all of it the user's alone."""
    (file,) = account.messages()
    assert file.read_bytes().endswith(content.replace(b"\r\n", b"\n"))
    for path in (file, account.maildir, *(account.maildir / one for one in ("tmp", "new", "cur"))):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (account.uid, account.gid)
        assert stat.S_IMODE(status.st_mode) == (0o600 if path == file else 0o700)
    assert file.stat().st_nlink == 1
    assert not list((account.maildir / "tmp").iterdir())


def test_landlock_lets_mail_into_homes(site: Site) -> None:
    """Where their folder is named, and nowhere else."""
    if landlock.abi() < landlock.LEAST_ABI:
        pytest.skip("this kernel has no Landlock, or one before Linux 5.19")
    homes = {"lmtp_sandbox": "required", "lmtp_sandbox_writable": site.alice.home}
    with dropped_server(site, **homes) as server:
        assert deliver(server, site.alice.address, content=LARGE) == [DELIVERED]
        check_owned(site.alice, content=LARGE)
        assert deliver(server, site.bob.address) == [MISCONFIGURED]
        assert site.bob.messages() == []


def test_the_mail_is_the_user_s(mail_server: Server, site: Site) -> None:
    assert deliver(mail_server, site.alice.address) == [DELIVERED]
    check_owned(site.alice)


def test_so_it_is_where_root_became_another_user(site: Site) -> None:
    with dropped_server(site) as server:
        assert deliver(server, site.alice.address, site.bob.address) == [DELIVERED] * 2
        check_owned(site.alice)
        check_owned(site.bob)
        (worker,) = server.workers()
        status = Path(f"/proc/{worker}/status").read_text()
        assert f"Uid:\t{site.vmail.uid}\t" in status
        assert "CapPrm:\t00000000000000c0\n" in status, "setuid and setgid"


def test_a_large_message_is_a_copy(mail_server: Server, site: Site) -> None:
    """It waits in a file of the server's; nobody else gets a name of that one."""
    mail_server.mailbox("carol@example.org")
    os.chown(mail_server.root / "example.org", site.vmail.uid, site.vmail.gid)
    os.chown(mail_server.root / "example.org" / "carol", site.vmail.uid, site.vmail.gid)
    everybody = (site.alice.address, "carol@example.org", site.bob.address)
    assert deliver(mail_server, *everybody, content=LARGE) == [DELIVERED] * 3
    check_owned(site.alice, content=LARGE)
    check_owned(site.bob, content=LARGE)
    (file,) = mail_server.message_files("carol@example.org")
    assert file.stat().st_nlink == 1
    assert file.stat().st_uid in (0, site.vmail.uid)
    assert not [path for path in mail_server.files() if "incoming" in path]


def test_who_is_known(mail_server: Server, site: Site) -> None:
    addresses = {
        site.alice.address: 250,
        site.alice.address.replace("@", "+news@"): 250,
        site.alice.address.upper(): 250,
        f"nobody-of-this-name@{'example.org'}": 550,
        "root@example.org": 550,
        "daemon@example.org": 550,
        "nobody@example.org": 550,
        site.alice.address.replace("example.org", "example.net"): 550,
        f"~{site.alice.address}": 550,
        f"{site.alice.uid}@example.org": 550,
    }
    with Client.tcp(mail_server.port) as client:
        client.reply()
        client.command("LHLO client.example")
        client.command("MAIL FROM:<>")
        found = {one: client.command(f"RCPT TO:<{one}>").code for one in addresses}
    assert found == addresses
    assert not list(site.alice.home.iterdir()), "a probe creates nothing"


def test_the_minimum_is_a_setting(site: Site) -> None:
    with root_server(site, lmtp_passwd_minimum_uid=site.alice.uid + 1) as running:
        found = deliver(running, site.alice.address, site.bob.address)
    assert found == [UNKNOWN, DELIVERED]


def test_other_domains_and_another_place(site: Site) -> None:
    more = {"lmtp_passwd_domains": "a.example;b.example", "lmtp_passwd_maildir": "mail/in"}
    with root_server(site, **more) as running:
        names = [f"{site.alice.name}@{domain}" for domain in ("a.example", "b.example")]
        assert deliver(running, *names, site.alice.address) == [DELIVERED, DELIVERED, UNKNOWN]
    assert len(list((site.alice.home / "mail/in/new").iterdir())) == 1


def test_a_table_leads_to_homes(site: Site, tmp_path: Path) -> None:
    table = tmp_path / "table"
    names = site.alice.name, site.bob.name
    table.write_text(
        f"team@example.org ~{names[0]}, ~{names[1]}\n"
        f"half@example.org ~{names[0]}, ~no-such-user\n"
        "system@example.org ~root\n"
    )
    more = {"lmtp_recipient_hooks": "table;passwd", "lmtp_recipient_table": table}
    with root_server(site, **more) as running:
        everybody = ("team@example.org", "half@example.org", "system@example.org")
        assert deliver(running, *everybody) == [DELIVERED, MISCONFIGURED, MISCONFIGURED]
    check_owned(site.alice)
    check_owned(site.bob)


# Homes that are not as they should be.


def test_a_home_that_comes_later(mail_server: Server, site: Site) -> None:
    site.alice.home.rename(site.folder / "unmounted")
    assert deliver(mail_server, site.alice.address, site.bob.address) == [UNVERIFIED, DELIVERED]
    assert not site.alice.home.exists()
    (site.folder / "unmounted").rename(site.alice.home)
    assert deliver(mail_server, site.alice.address) == [DELIVERED]


@pytest.mark.parametrize("mode", [0o500, 0o600, 0o000])
def test_the_user_s_rights_are_what_counts(mode: int, mail_server: Server, site: Site) -> None:
    """Root, and whoever has CAP_DAC_OVERRIDE, could."""
    site.alice.home.chmod(mode)
    (found,) = deliver(mail_server, site.alice.address)
    assert found == (MISCONFIGURED if mode == 0o500 else UNVERIFIED)
    site.alice.home.chmod(0o700)
    assert not list(site.alice.home.iterdir())
    assert deliver(mail_server, site.alice.address) == [DELIVERED]


def test_a_home_of_somebody_else(mail_server: Server, site: Site) -> None:
    os.chown(site.alice.home, site.bob.uid, site.bob.gid)
    site.alice.home.chmod(0o777)
    assert deliver(mail_server, site.alice.address) == [UNVERIFIED]
    assert not list(site.alice.home.iterdir())


def test_a_home_of_root_s_with_a_maildir_in_it(mail_server: Server, site: Site) -> None:
    """As accounts have it that may not write elsewhere."""
    os.chown(site.alice.home, 0, 0)
    site.alice.home.chmod(0o755)
    assert deliver(mail_server, site.alice.address) == [MISCONFIGURED]
    site.alice.maildir.mkdir(mode=0o700)
    os.chown(site.alice.maildir, site.alice.uid, site.alice.gid)
    assert deliver(mail_server, site.alice.address) == [DELIVERED]
    check_owned(site.alice)


def test_groups_count_too(site: Site) -> None:
    """The way to the home is open to a group of the user's alone."""
    staff = site.folder / "staff"
    staff.mkdir(mode=0o710)
    os.chown(staff, 0, site.bob.gid)
    try:
        dora = site.accounts.add("d", "-G", site.bob.name, home=staff / "dora")
        site.accounts.furnish(dora)
        erin = site.accounts.add("e", home=staff / "erin")
        site.accounts.furnish(erin)
        with root_server(site) as running:
            assert deliver(running, dora.address, erin.address) == [DELIVERED, UNVERIFIED]
        check_owned(dora)
        assert not list(erin.home.iterdir())
    finally:
        site.accounts.remove(dora.name)
        site.accounts.remove(erin.name)


def test_a_directory_that_passes_its_group_on(mail_server: Server, site: Site) -> None:
    os.chown(site.alice.home, site.alice.uid, site.bob.gid)
    site.alice.home.chmod(0o2770)
    assert deliver(mail_server, site.alice.address) == [DELIVERED]
    (file,) = site.alice.messages()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (file.stat().st_uid, file.stat().st_gid) == (site.alice.uid, site.bob.gid)
    assert stat.S_IMODE(site.alice.maildir.stat().st_mode) == 0o2700


def test_a_user_who_goes_between_rcpt_and_the_dot(site: Site) -> None:
    for keeps_home in (True, False):
        frank = site.accounts.add("f")
        with root_server(site) as running, Client.tcp(running.port) as client:
            client.reply()
            client.command("LHLO client.example")
            client.command("MAIL FROM:<>")
            assert client.command(f"RCPT TO:<{frank.address}>").code == 250
            site.accounts.remove(frank.name)
            if not keeps_home:
                frank.home.rename(site.folder / "gone")
            client.command("DATA")
            client.send(stuffed(message("x")))
            found = status_of(client.reply())
            assert deliver(running, frank.address) == [UNKNOWN]
        # What RCPT has found holds for the message; where there is nothing, nothing is made.
        assert found == (DELIVERED if keeps_home else MISCONFIGURED)
        assert frank.home.exists() is keeps_home
        if keeps_home:
            check_owned(frank)


# The process.


def test_without_the_capabilities_it_does_not_start(site: Site) -> None:
    names = "+dac_override,+dac_read_search"
    ids = (f"--reuid={site.vmail.uid}", f"--regid={site.vmail.gid}", "--clear-groups")
    ended = subprocess.run(
        [
            *with_python_open(),
            *("setpriv", *ids, f"--inh-caps={names}", f"--ambient-caps={names}", "--"),
            *(sys.executable, "lmtpd.py", "serve", "--lmtp-recipient-hooks", "passwd"),
            *("--lmtp-maildir-root", str(site.vmail.home)),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == os.EX_CONFIG
    assert "AmbientCapabilities=CAP_SETUID CAP_SETGID" in ended.stderr
    assert "Operation not permitted" in ended.stderr


def test_check_recipient_names_the_place(site: Site) -> None:
    command = [sys.executable, "lmtpd.py", "check-recipient", site.alice.address]
    options = ["--lmtp-recipient-hooks", "passwd", "--lmtp-default-domain", "example.org"]
    said = subprocess.run(
        [*command, *options, "--lmtp-maildir-root", str(site.vmail.home)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert f"delivered to mailbox ~{site.alice.name} in {site.alice.maildir}" in said
    assert not site.alice.maildir.exists()


def test_every_thread_is_itself_again(mail_server: Server, site: Site) -> None:
    for number in range(20):
        assert deliver(mail_server, site.alice.address, content=message(str(number))) == [DELIVERED]
    (worker,) = mail_server.workers()
    found = set()
    for status in Path(f"/proc/{worker}/task").glob("*/status"):
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        found.add(tuple(lines[key] for key in ("Uid", "Gid", "Groups", "CapEff", "CapPrm")))
    ((uids, gids, _, effective, permitted),) = found
    assert len({*uids.split(), *gids.split()}) <= 2
    assert effective == permitted


def test_many_at_one_time(site: Site) -> None:
    """Threads look at homes, deliver there and elsewhere, and keep large messages, all at once."""
    names = (site.alice.address, site.bob.address, "carol@example.org")

    def client(number: int) -> list[str]:
        found = []
        for turn in range(10):
            content = message(f"c{number}t{turn}", 400_000 if turn % 5 == number % 5 else 500)
            chosen = names[number % 3 :] + names[: number % 3]
            found += deliver(server, *chosen[: 1 + turn % 3], content=content)
        return found

    with root_server(site, lmtp_workers=2) as server, ThreadPoolExecutor(8) as pool:
        server.mailbox("carol@example.org")
        found = [status for each in pool.map(client, range(8)) for status in each]
        assert found == [DELIVERED] * len(found)
        files = [*site.alice.messages(), *site.bob.messages()]
        files += server.message_files("carol@example.org")
    assert len(files) == len(found)
    for account in (site.alice, site.bob):
        assert {path.stat().st_uid for path in account.home.rglob("*")} == {account.uid}
        assert {path.stat().st_gid for path in account.home.rglob("*")} == {account.gid}
    assert {path.lstat().st_uid for path in server.root.rglob("*")} == {0}


# A service behind NSS that is down: a module of ours for the C library, in a namespace.

MODULE = """
#include <errno.h>
#include <nss.h>
#include <pwd.h>
enum nss_status _nss_down_getpwnam_r(const char *name, struct passwd *entry, char *buffer,
                                     size_t size, int *number) {
    *number = errno = ECONNREFUSED;
    return NSS_STATUS_UNAVAIL;
}
"""


def test_a_service_that_is_down_bounces_nothing(site: Site, tmp_path: Path) -> None:
    components.require("compiler")
    library, conf = tmp_path / "libnss_down.so.2", tmp_path / "nsswitch.conf"
    compiler = ["gcc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"]
    subprocess.run(compiler, input=MODULE, text=True, check=True, timeout=60)
    conf.write_text("passwd: files down\ngroup: files\nhosts: files\n")
    mounted = f'mount --bind {conf} /etc/nsswitch.conf && exec "$@"'
    prefix = ("unshare", "--mount", "--propagation", "private", "--", "env")
    prefix += (f"LD_LIBRARY_PATH={tmp_path}", "sh", "-c", mounted, "sh")
    with Server(tmp_path, prefix=prefix, **settings(lmtp_hook_faults=1000)) as running:
        found = deliver(running, site.alice.address, "somebody-of-the-directory@example.org")
        assert found == [DELIVERED, UNVERIFIED]
        assert "Connection refused (getpwnam)" in running.log
