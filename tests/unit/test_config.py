"""Where values come from, which of them counts, and what is said of the wrong ones."""

import os
import resource
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from lmtpd.accounts import Account
from lmtpd.config import FILE_FORMAT, Config, ConfigError, load
from lmtpd.trust import TrustPolicy, parse_networks

Load = Callable[..., Config]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file for each path that a setting may name."""
    for name in ("maildirs", "etc", "etc/maildirs"):
        (tmp_path / name).mkdir()
    for name in ("lmtp.crt", "lmtp.key", "table", "etc/table"):
        (tmp_path / name).touch(mode=0o600)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def loads(place: Path) -> Load:
    """Load a file of this text, called lmtpd.conf, with a root that exists."""

    def load_text(
        text: str | bytes = "",
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Config:
        octets = text if isinstance(text, bytes) else text.encode()
        (place / "lmtpd.conf").write_bytes(octets)
        variables = {"LMTP_MAILDIR_ROOT": "maildirs", **(environment or {})}
        return load(Path("lmtpd.conf"), variables, options or {})

    return load_text


def faults_of(loads: Load, *arguments: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(*arguments)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return list(caught.value.faults)


def test_without_any_source(place: Path) -> None:
    config = load(None, {}, {"lmtp-maildir-root": "maildirs"})
    assert config == Config(lmtp_maildir_root=place / "maildirs", warnings=config.warnings)


def test_a_marker_that_is_there(place: Path) -> None:
    (place / "maildirs" / "here").touch()
    config = load(None, {}, {"lmtp-maildir-root": "maildirs", "lmtp-maildir-marker": "here"})
    assert config.lmtp_maildir_marker == "here"


@pytest.mark.parametrize(
    ("text", "environment", "options", "port"),
    [
        ("", {}, {}, 11200),
        ("lmtp-port = 1", {}, {}, 1),
        ("lmtp-port = 1", {"LMTP_PORT": "2"}, {}, 2),
        ("lmtp-port = 1", {"LMTP_PORT": "2"}, {"lmtp-port": "3"}, 3),
        ("lmtp-port = 1", {}, {"lmtp-port": "3"}, 3),
        ("", {"LMTP_PORT": " 2\n"}, {}, 2),
    ],
)
def test_the_later_source_wins(
    text: str, environment: dict[str, str], options: dict[str, str], port: int, loads: Load
) -> None:
    assert loads(text, environment, options).lmtp_port == port


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ("lmtp-bind-addr=127.0.0.2", "lmtp_bind_addr", "127.0.0.2"),
        ("  lmtp-port  =  1  # usual: 11200", "lmtp_port", 1),
        ("lmtp-port = '1'", "lmtp_port", 1),
        ('"lmtp-port" = """1"""', "lmtp_port", 1),
        ("lmtp-recipient-delimiter = # nothing", "lmtp_recipient_delimiter", ""),
        ('lmtp-recipient-delimiter = "#"', "lmtp_recipient_delimiter", "#"),
        ("lmtp-recipient-delimiter =", "lmtp_recipient_delimiter", ""),
        ("lmtp-maildir-path = %(x)s/{local}", "lmtp_maildir_path", "%(x)s/{local}"),
        ("lmtp-maildir-path = b\u00fccher/{local}", "lmtp_maildir_path", "b\u00fccher/{local}"),
        ("lmtp-recipient-hooks = a;\tb", "lmtp_recipient_hooks", ("a", "b")),
        ("lmtp-trusted-ips = ::1;10.0.0.1", "lmtp_trusted_ips", TrustPolicy.parse("::1;10.0.0.1")),
        ("lmtp-trusted-ips = mx:A.org", "lmtp_trusted_ips", TrustPolicy((), ("mx:a.org",))),
        ("lmtp-proxy-ips = ::1", "lmtp_proxy_ips", parse_networks("::1")),
        ("\ufefflmtp-port = 1", "lmtp_port", 1),
        ("# a comment\r\n\r\nlmtp-port = 1\r\n", "lmtp_port", 1),
        ("lmtp-cert-path = none", "lmtp_cert_path", ()),
    ],
)
def test_lines_of_the_file(line: str, attribute: str, value: object, loads: Load) -> None:
    assert getattr(loads(line), attribute) == value


def test_relative_paths(place: Path) -> None:
    (place / "etc" / "lmtpd.conf").write_text(
        "lmtp-maildir-root = maildirs\nlmtp-recipient-table = table\n"
        f"lmtp-recipient-hooks = table\nlmtp-socket-path = {place}/lmtp.sock\n"
    )
    file = Path("etc/lmtpd.conf")
    config = load(file, {}, {})
    assert config.lmtp_maildir_root == place / "etc" / "maildirs"
    assert config.lmtp_recipient_table == place / "etc" / "table"
    assert config.lmtp_socket_path == place / "lmtp.sock"
    config = load(file, {"LMTP_MAILDIR_ROOT": "maildirs"}, {"lmtp-recipient-table": "table"})
    assert config.lmtp_maildir_root == place / "maildirs"
    assert config.lmtp_recipient_table == place / "table"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("lmtp-port = abc", "lmtpd.conf:1: lmtp-port: 'abc' is not a port number (1 to 65535)"),
        ("\n# lmtp-port = 1\nlmtp-port=0", "lmtpd.conf:3: lmtp-port: '0' is not a port number"),
        ("lmtp-port = 25", "lmtpd.conf:1: lmtp-port: port 25 is for SMTP"),
        ("lmtp-prot = 1", "lmtpd.conf:1: lmtp-prot: no such setting; did you mean lmtp-port?"),
        ("LMTP_PORT = 1", "lmtpd.conf:1: LMTP_PORT: no such setting; did you mean lmtp-port?"),
        ("zzz = 1", "lmtpd.conf:1: zzz: no such setting"),
        ("lmtp-port 1", "lmtpd.conf:1: 'lmtp-port 1' is neither 'key = value' nor a comment"),
        ("\nlmtp-port = '1", "lmtpd.conf:2: lmtp-port: a quotation mark has no partner"),
        ("lmtp-port = '''1", "lmtpd.conf:1: lmtp-port: a quotation mark has no partner"),
        ("lmtp-port = '''1\n2'''", "lmtpd.conf:1: lmtp-port: has a line break"),
        ("lmtp-port=1\nlmtp-port=2", "lmtpd.conf:2: lmtp-port: is already set in line 1"),
        ("lmtp-max-message-size = 1K", "'1K' is not between 65536 and"),
        ("lmtp-max-recipients = 99", "RFC 5321 section 4.5.3.1.8 asks for 100"),
        ("lmtp-verify-timeout = 30", "Exim gives up a callout after 30 seconds"),
        ("lmtp-idle-timeout = 0", "'0' is not between 1 and 86400"),
        ("lmtp-maildir-path = #{local}", "''"),
    ],
)
def test_a_fault_in_the_file(text: str, fault: str, loads: Load) -> None:
    (only,) = faults_of(loads, text)
    assert fault in only


@pytest.mark.parametrize("line", [b"lmtp-port = \xff", b"# \xe4", b"\xff\xfel\0"])
def test_a_line_that_is_not_utf8(line: bytes, loads: Load) -> None:
    assert faults_of(loads, b"\n" + line) == ["lmtpd.conf:2: is not UTF-8"]


@pytest.mark.usefixtures("place")
def test_a_file_that_cannot_be_read() -> None:
    for file, reason in (("no.conf", "No such file or directory"), ("etc", "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            load(Path(file), {"LMTP_MAILDIR_ROOT": "maildirs"}, {})
        assert caught.value.faults == (f"{file}: cannot be read: {reason}",)


def test_faults_of_environment_and_command_line(loads: Load) -> None:
    faults = faults_of(loads, "", {"LMTP_PORT": "abc"}, {"lmtp-port": "", "lmtp-prot": "1"})
    assert faults == [
        "environment: LMTP_PORT: 'abc' is not a port number (1 to 65535)",
        "command line: --lmtp-port: '' is not a port number (1 to 65535)",
        "command line: --lmtp-prot: no such setting; did you mean lmtp-port?",
    ]


def test_every_fault_is_named_at_once_in_order(loads: Load) -> None:
    text = (
        "lmtp-prot = 1\nlmtp-port = abc\n[x]\nnonsense\nlmtp-tls-only = maybe\n"
        "lmtp-cert-path = no.crt\nlmtp-vrfy = '\nlmtp-port = 2\nlmtp-port = 3\n[[y]]\n"
        "lmtp-dsn = 1\n"
    )
    faults = faults_of(loads, text, {"LMTP_DSN": "maybe"}, {"lmtp-bind-addr": "localhost"})
    assert [fault.split(": ")[0] for fault in faults] == [
        *(f"lmtpd.conf:{line}" for line in (1, 2, 4, 5, 6, 6, 7, 9, 10, 11)),
        "environment",
        "command line",
    ]


_TLS = "lmtp-cert-path = lmtp.crt\nlmtp-key-path = lmtp.key\n"


class TestSections:
    def test_each_is_a_listener_and_has_the_rest_of_the_default_one(
        self, loads: Load, place: Path
    ) -> None:
        config = loads(
            "lmtp-bind-addr = 127.0.0.2\nlmtp-socket-path = a.sock\nlmtp-socket-mode = 0600\n"
            "lmtp-cert-path = lmtp.crt\nlmtp-key-path = lmtp.key\n"
            " [ second ] # more\nlmtp-port = 1\nlmtp-trusted-ips = 10.0.0.1\n"
            "[3.third_-]\nlmtp-socket-path = b.sock\nlmtp-cert-path = none\n"
            "lmtp-key-path = none\nlmtp-trusted-users = 0\n[fourth]\nlmtp-bind-addr = none\n"
            "[fifth]\nlmtp-bind-addr = ::1\nlmtp-socket-path = c.sock\n",
            {},
            {"lmtp-max-recipients": "200", "lmtp-hostname": "mx.example.org"},
        )
        assert config.listeners[0] is config
        assert [one.section for one in config.listeners] == [
            "",
            "second",
            "3.third_-",
            "fourth",
            "fifth",
        ]
        assert [(one.lmtp_bind_addr, one.lmtp_port) for one in config.listeners] == [
            ("127.0.0.2", 11200),
            ("127.0.0.2", 1),
            ("", 11200),
            ("", 11200),
            ("::1", 11200),
        ]
        assert [one.lmtp_socket_path for one in config.listeners] == [
            place / "a.sock",
            None,
            place / "b.sock",
            None,
            place / "c.sock",
        ]
        _, second, third, fourth, _ = config.listeners
        assert second.lmtp_trusted_ips == TrustPolicy.parse("10.0.0.1")
        assert config.lmtp_trusted_ips == third.lmtp_trusted_ips == TrustPolicy()
        assert third.lmtp_trusted_users == (Account(0, "0"),)
        assert third.lmtp_socket_mode == 0o600
        assert fourth.lmtp_cert_path == config.lmtp_cert_path == (place / "lmtp.crt",)
        assert third.lmtp_cert_path == ()
        assert {one.lmtp_max_recipients for one in config.listeners} == {200}
        assert config.warnings == ()

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("[x]", "1: [x]: listens nowhere: set lmtp-bind-addr, lmtp-port or lmtp-socket-path"),
            ("\n[x]\nlmtp-trusted-ips = ::1", "2: [x]: listens nowhere"),
            ("[[x]]\nlmtp-port = 1", "1: no section is inside another, not like '[[x]]'"),
            ("[x", "1: a section begins like [filter], not like '[x'"),
            ("[x] y", "1: a section begins like [filter], not like '[x] y'"),
            ("[x:y]", "1: a section begins like [filter], not like '[x:y]'"),
            ("[]", "1: a section begins like [filter], not like '[]'"),
            (
                "[x]\nlmtp-port = 1\n[x]\nlmtp-port = 2",
                "3: [x] is begun already in line 1",
            ),
            (
                "[x]\nlmtp-port = 1\nlmtp-workers = 1",
                "3: lmtp-workers: is for all listeners at once: set it above the first section",
            ),
            ("[x]\nlmtp-port = 1\nlmtp-prot = 2", "3: lmtp-prot: no such setting; did you mean"),
            ("[x]\nlmtp-port = abc", "2: lmtp-port: 'abc' is not a port number"),
            ("[x]\nlmtp-port = 1\n\nlmtp-port = 2", "4: lmtp-port: is already set in line 2"),
            ("[x]\nlmtp-port = '1", "2: lmtp-port: a quotation mark has no partner"),
            (
                "lmtp-bind-addr = none\n[x]\nlmtp-port = 1",
                "3: lmtp-port: needs an address: set lmtp-bind-addr",
            ),
            (
                "[x]\nlmtp-port = 1\nlmtp-tls-only = on",
                "3: lmtp-tls-only: needs a certificate: set lmtp-cert-path and lmtp-key-path",
            ),
            (
                (
                    f"{_TLS}lmtp-tls-only = on\n[x]\nlmtp-port = 1\nlmtp-cert-path = none\n"
                    "lmtp-key-path = none"
                ),
                "3: lmtp-tls-only: in [x]: needs a certificate: set lmtp-cert-path",
            ),
            (
                "lmtp-port = 1\n[x]\nlmtp-port = 1",
                "3: lmtp-port: another listener is there already (lmtpd.conf:1: lmtp-port)",
            ),
            (
                f"[x]\nlmtp-bind-addr = 0.0.0.0\n{_TLS}lmtp-trusted-ips = 10.0.0.1",
                "2: lmtp-bind-addr: another listener is there already (default: lmtp-port)",
            ),
            (
                "[x]\nlmtp-port = 1\n[y]\nlmtp-bind-addr = ::\nlmtp-port = 1\n",
                "5: lmtp-port: another listener is there already (lmtpd.conf:2: lmtp-port)",
            ),
            (
                "lmtp-socket-path = a\n[x]\nlmtp-socket-path = etc/../a",
                "3: lmtp-socket-path: another listener is there already (lmtpd.conf:1: lmtp-so",
            ),
        ],
    )
    def test_a_fault_and_its_place(self, text: str, fault: str, loads: Load) -> None:
        (only,) = faults_of(loads, text)
        assert only.startswith(f"lmtpd.conf:{fault}")

    @pytest.mark.parametrize(
        "text",
        [
            "[x]\nlmtp-bind-addr = ::1",
            "lmtp-bind-addr = 0.0.0.0\n[x]\nlmtp-bind-addr = ::1",
            "lmtp-bind-addr = none\n[x]\nlmtp-bind-addr = 127.0.0.1",
            "[x]\nlmtp-socket-path = a\n[y]\nlmtp-socket-path = b",
        ],
    )
    def test_places_that_are_two(self, text: str, loads: Load) -> None:
        assert loads(text).sections

    def test_a_broken_place_is_not_compared(self, loads: Load) -> None:
        text = "lmtp-port = abc\n[x]\nlmtp-bind-addr = ::1\n[y]\nlmtp-bind-addr = localhost\n"
        assert len(faults_of(loads, text)) == 2
        text = "lmtp-bind-addr = none\n[x]\nlmtp-port = 1\nlmtp-bind-addr = localhost\n"
        assert len(faults_of(loads, text)) == 1

    def test_a_warning_has_its_place_and_is_said_once(self, loads: Load) -> None:
        text = (
            "lmtp-ca-path = lmtp.crt\nlmtp-hostname = mx.example.org\n[x]\nlmtp-port = 1\n[y]\n"
            "lmtp-bind-addr = 192.0.2.1\nlmtp-trusted-ips = 192.0.2.2\n"
        )
        assert [warning[:40] for warning in loads(text).warnings] == [
            "lmtpd.conf:1: lmtp-ca-path: is not read,",
            "lmtpd.conf:6: lmtp-bind-addr: clear text",
        ]


def test_an_overridden_fault_is_a_fault(loads: Load) -> None:
    assert len(faults_of(loads, "lmtp-port = abc", {"LMTP_PORT": "1"})) == 1


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"lmtp-cert-path": "lmtp.crt"}, "--lmtp-cert-path: needs the certificate's private key"),
        ({"lmtp-key-path": "lmtp.key"}, "--lmtp-key-path: needs the key's certificate"),
        ({"lmtp-tls-only": "true"}, "--lmtp-tls-only: needs a certificate: set lmtp-cert-path"),
        (
            {"lmtp-cert-path": "lmtp.crt;lmtp.crt", "lmtp-key-path": "lmtp.key"},
            "--lmtp-key-path: needs a key for each certificate, in their order: 2 and 1 are set",
        ),
        (
            {"lmtp-tls-min-version": "1.3", "lmtp-tls-max-version": "1.2"},
            "--lmtp-tls-min-version: 1.3 is beyond lmtp-tls-max-version = 1.2",
        ),
        ({"lmtp-tls-min-version": "1.1"}, "'1.1' is not 1.2 or 1.3"),
        ({"lmtp-tls-ciphers": "none"}, "holds no cipher"),
        ({"lmtp-client-certificate": "no"}, "'no' is none of none, optional and required"),
        ({"lmtp-client-fingerprints": "ab:cd"}, "'ab:cd' is not a SHA-256 fingerprint"),
        (
            {"lmtp-client-certificate": "required", "lmtp-ca-path": "lmtp.crt"},
            "--lmtp-client-certificate: needs TLS",
        ),
        (
            {
                "lmtp-client-certificate": "required",
                "lmtp-cert-path": "lmtp.crt",
                "lmtp-key-path": "lmtp.key",
            },
            "--lmtp-client-certificate: needs to know whose certificates are good",
        ),
        (
            {"lmtp-cert-path": "lmtp.crt", "lmtp-key-path": "no.key"},
            "no.key cannot be read: No such file or directory",
        ),
        (
            {"lmtp-cert-path": "no.crt", "lmtp-key-path": "lmtp.key"},
            "no.crt cannot be read: No such file or directory",
        ),
        (
            {"lmtp-cert-path": "lmtp.crt", "lmtp-key-path": "etc"},
            "etc cannot be read: Is a directory",
        ),
        (
            {"lmtp-recipient-hooks": "table"},
            "--lmtp-recipient-hooks: the hook table needs lmtp-recipient-table",
        ),
        (
            {"lmtp-recipient-hooks": "table", "lmtp-recipient-table": "none.txt"},
            "none.txt cannot be read: No such file or directory",
        ),
        (
            {"lmtp-recipient-hooks": "sql", "lmtp-sql-url": "sqlite:////x"},
            "--lmtp-recipient-hooks: the hook sql needs lmtp-sql-query",
        ),
        (
            {"lmtp-recipient-hooks": "ldap", "lmtp-ldap-url": "ldaps://x", "lmtp-ldap-base": "x"},
            "--lmtp-recipient-hooks: the hook ldap needs lmtp-ldap-filter",
        ),
        ({"lmtp-sql-password-file": "none.txt"}, "none.txt cannot be read"),
        ({"lmtp-sql-ca-file": "none.txt"}, "none.txt cannot be read"),
        ({"lmtp-ldap-ca-file": "none.txt"}, "none.txt cannot be read"),
        ({"lmtp-ldap-bind-dn": "cn=x"}, "--lmtp-ldap-bind-dn: needs its password"),
        ({"lmtp-ldap-password-file": "table"}, "--lmtp-ldap-password-file: is whose password?"),
        (
            {"lmtp-ldap-password-file": "none.txt", "lmtp-ldap-bind-dn": "cn=x"},
            "none.txt cannot be read",
        ),
        ({"lmtp-ldap-starttls": "true"}, "begins TLS on ldap:// connections alone"),
        ({"lmtp-maildir-root": "nowhere"}, "nowhere: No such file or directory; create it, or is"),
        ({"lmtp-maildir-root": "table"}, "table is not a folder"),
        ({"lmtp-maildir-marker": "here"}, "maildirs/here: No such file or directory; is its file"),
        ({"lmtp-hook-timeout": "26"}, "default: lmtp-verify-timeout: is less than the 26 s"),
        (
            {"lmtp-verify-timeout": "5"},
            "--lmtp-verify-timeout: is less than the 10 s of one hook (lmtp-hook-timeout)",
        ),
        (
            {"lmtp-memory-budget": "3M", "lmtp-workers": "4"},
            "--lmtp-memory-budget: is less than 1M for each of the 4 workers (lmtp-workers)",
        ),
        ({"lmtp-socket-path": "/" + "s" * 107}, "at most 107 octets, this one 108"),
        ({"lmtp-tls-only": "true", "lmtp-cert-path": "\0"}, "control character in it ('\\x00')"),
    ],
)
def test_values_that_do_not_go_together(options: dict[str, str], fault: str, loads: Load) -> None:
    (only,) = faults_of(loads, "", {}, options)
    assert fault in only


def test_values_that_go_together(loads: Load) -> None:
    config = loads(
        "lmtp-cert-path = lmtp.crt\nlmtp-key-path = lmtp.key\nlmtp-tls-only = on\n"
        "lmtp-recipient-table = table\nlmtp-recipient-hooks = table;maildirs\n"
        "lmtp-bind-addr = ::\nlmtp-trusted-ips = 2001:db8::/32\nlmtp-hostname = mx.example.org\n"
    )
    assert config.lmtp_tls_only
    assert config.lmtp_default_domain == "mx.example.org"
    assert config.warnings == ()


SQL = "lmtp-recipient-hooks = sql\nlmtp-sql-query = SELECT :address"
LDAP = "lmtp-recipient-hooks = ldap\nlmtp-ldap-base = dc=x\nlmtp-ldap-filter = (mail={address})\n"


@pytest.mark.parametrize(
    ("text", "environment", "warning"),
    [
        (
            "lmtp-bind-addr = 0.0.0.0\nlmtp-trusted-ips = 10.0.0.1",
            {},
            "lmtpd.conf:1: lmtp-bind-addr: clear text on 0.0.0.0: set lmtp-cert-path",
        ),
        (
            "lmtp-bind-addr = ::\nlmtp-cert-path = lmtp.crt\nlmtp-key-path = lmtp.key",
            {},
            "lmtpd.conf:1: lmtp-bind-addr: :: is open to other machines, but only loopback peers",
        ),
        (
            "lmtp-proxy-ips = 10.0.0.1",
            {},
            "lmtpd.conf:1: lmtp-proxy-ips: lets proxies speak for their clients, but of these only",
        ),
        (
            "lmtp-proxy-ips = 10.0.0.1;::/0\nlmtp-trusted-ips = mx.example.org",
            {},
            "lmtpd.conf:1: lmtp-proxy-ips: lets every machine pass for any other",
        ),
        ("lmtp-ca-path = lmtp.crt", {}, "lmtp-ca-path: is not read"),
        (
            "lmtp-status-addr = 0.0.0.0:11280",
            {},
            "lmtpd.conf:1: lmtp-status-addr: other machines may read there who writes to whom",
        ),
        ("lmtp-trusted-users = 0;65534", {}, "lmtp-trusted-users: 65534 is not one user"),
        ("lmtp-client-names = a", {}, "lmtp-client-names: is not read"),
        ("lmtp-recipient-table = table", {}, "lmtp-recipient-table: is not read"),
        ("lmtp-sql-url = sqlite:////x", {}, "lmtp-sql-url: is not read"),
        ("lmtp-ldap-url = ldaps://x", {}, "lmtp-ldap-url: is not read"),
        ("lmtp-passwd-domains = a.example", {}, "lmtp-passwd-domains: is not read"),
        (
            f"lmtp-ldap-url = ldap://ldap.example.org\n{LDAP}",
            {},
            "lmtp-ldap-url: clear text: whoever is on the way to ldap.example.org can change",
        ),
        (
            f"lmtp-sql-url = mysql://u@db.example.org/mail\n{SQL}",
            {},
            "lmtp-sql-url: clear text: whoever is on the way to db.example.org can change",
        ),
        (
            "lmtp-callout-server = mx.example.org:25\nlmtp-recipient-hooks = callout",
            {},
            "lmtp-callout-server: clear text: whoever is on the way to mx.example.org can change",
        ),
        ("lmtp-callout-ca-file = lmtp.crt", {}, "lmtp-callout-ca-file: is not read without"),
        (
            "lmtp-fail-open-domains = b.example;a.example",
            {},
            "lmtp-fail-open-domains: every address of a.example, b.example is accepted while",
        ),
        (
            "",
            {"LMTP_PROT": "1"},
            "environment: LMTP_PROT: no such setting, ignored; did you mean LMTP_PORT?",
        ),
        ("", {"LMTP_ZZZ": "1"}, "environment: LMTP_ZZZ: no such setting, ignored"),
        (
            "",
            {"LMTP_PORT": "tcp://10.0.0.1:11200"},
            "environment: LMTP_PORT: 'tcp://10.0.0.1:11200' looks like a service link",
        ),
    ],
)
def test_warnings(text: str, environment: dict[str, str], warning: str, loads: Load) -> None:
    config = loads(text, environment, {"lmtp-hostname": "mx.example.org"})
    (only,) = config.warnings
    assert warning in only
    assert config.lmtp_port == 11200


@pytest.mark.parametrize(
    ("mode", "more", "is_said"),
    [
        ("wal", "", True),
        ("wal", "lmtp-sandbox = off", False),
        ("wal", "lmtp-sandbox-writable = maildirs; etc", False),
        ("delete", "", False),
    ],
)
def test_a_data_base_whose_readers_write(
    mode: str, more: str, is_said: bool, place: Path, loads: Load
) -> None:
    with closing(sqlite3.connect(place / "etc" / "base")) as base:
        base.execute(f"PRAGMA journal_mode={mode}")
        base.execute("CREATE TABLE people (address)")
    url = f"lmtp-sql-url = sqlite:///{place}/etc/base"
    config = loads(f"{SQL}\n{url}\n{more}\n", {}, {"lmtp-hostname": "mx"})
    assert [one for one in config.warnings if "WAL" in one] == list(config.warnings)
    assert bool(config.warnings) == is_said


def test_what_kubernetes_and_others_set_is_no_matter(loads: Load) -> None:
    foreign = {
        "LMTP_SERVICE_HOST": "10.0.0.1",
        "LMTP_SERVICE_PORT": "11200",
        "LMTP_SERVICE_PORT_LMTP": "11200",
        "LMTP_PORT_11200_TCP_PORT": "11200",
        "PATH": "/bin",
        "lmtp_port": "1",
    }
    assert loads("", foreign, {"lmtp-hostname": "mx"}).warnings == ()


@pytest.mark.parametrize(
    ("own", "options", "count"),
    [
        ("my_box", {}, 1),
        ("my_box", {"lmtp-hostname": "mx.example.org"}, 0),
        ("localhost", {}, 0),
        ("mx1", {}, 0),
    ],
)
def test_a_machine_without_a_host_name(
    own: str,
    options: dict[str, str],
    count: int,
    loads: Load,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: own)
    assert len(loads("", {}, options).warnings) == count


def test_the_file_stays_as_it_is(loads: Load, place: Path) -> None:
    text = "lmtp-port = 1 # one\n"
    loads(text)
    assert (place / "lmtpd.conf").read_text() == text


def test_the_format_is_described() -> None:
    assert "unquoted `#` ends a value" in FILE_FORMAT


SECRETS = (
    "postgresql://user:secret@host/db",
    "postgresql://user:se/secret@host/db",
    "postgresql://user:s@secret@host/db",
    "postgresql://user:s?secret@host/db",
    "mysql://user@host/db?password=secret&x=a@b",
    "postgresql://user:s secret@host/db",
    "Postgresql:/user:secret@host/db",
    "user:secret@host/db",
    "postgresql://user@host/db?password=secret",
    "mysql://user@host/db?user=x&passwd=secret#y",
    "mysql://user:secret",
    "https://host:secret/",
    "https://host /?token=secret",
    "https://user:secret@host/recipients",
)
_URLS = ("lmtp-sql-url", "lmtp-ldap-url", "lmtp-http-url")


@pytest.mark.parametrize("text", SECRETS)
@pytest.mark.parametrize("key", [*_URLS, "lmtp-callout-server", "lmtp-port"])
def test_no_fault_repeats_a_password(key: str, text: str, loads: Load) -> None:
    """Faults are printed, logged and shown to others."""
    for faults in (
        faults_of(loads, "", {}, {"lmtp-port": "x", key: text}),
        faults_of(loads, f"{key} = '''{text}\nx'''"),
        faults_of(loads, f"{key}: {text}"),
        faults_of(loads, f"{text} = 1"),
        faults_of(loads, f"[{text}]"),
        faults_of(loads, "", {}, {key: f"{text}\x7f"}),
    ):
        assert "secret" not in " ".join(faults)


def test_the_arguments_of_a_command_are_not_repeated(loads: Load) -> None:
    (only,) = faults_of(loads, "lmtp-exec-command = program --token secret 'x")
    assert only == "lmtpd.conf:1: lmtp-exec-command: is no command: No closing quotation"


@pytest.mark.parametrize("text", SECRETS)
@pytest.mark.parametrize("key", _URLS[:2])
def test_a_password_has_no_place_in_a_url(key: str, text: str, loads: Load) -> None:
    if not text.startswith("https://host /"):
        assert "secret" not in " ".join(faults_of(loads, f"{key} = {text.replace('#', '%23')}"))


def test_a_secret_that_is_all_that_is_wrong(loads: Load) -> None:
    (only,) = faults_of(loads, "lmtp-dns-txt = user:s\u00e9cret@host")
    assert only == "lmtpd.conf:1: lmtp-dns-txt: 'user:***@host' is no value here"


def test_no_warning_repeats_a_password(loads: Load) -> None:
    config = loads("", {"LMTP_PORT": "tcp://user:secret@host"}, {"lmtp-hostname": "mx.example.org"})
    assert "secret" not in " ".join(config.warnings)
    assert "tcp://***:***@host" in " ".join(config.warnings)


@pytest.mark.parametrize(
    ("owner", "mode", "is_exposed"),
    [
        (1000, 0o600, False),
        (1000, 0o640, True),
        (0, 0o640, False),
        (0, 0o660, True),
        (0, 0o604, True),
    ],
)
def test_a_key_that_others_can_read(
    owner: int, mode: int, is_exposed: bool, loads: Load, place: Path
) -> None:
    key = place / "lmtp.key"
    if owner != key.stat().st_uid:
        if os.geteuid():
            pytest.skip("needs root, to give a file away")
        os.chown(key, owner, -1)
    key.chmod(mode)
    config = loads("lmtp-cert-path = lmtp.crt\nlmtp-key-path = lmtp.key")
    assert any("can be read by others" in one for one in config.warnings) is is_exposed


@pytest.mark.parametrize(
    ("connections", "files", "says"),
    [
        ("8000", 5000, ""),
        ("8001", 5000, ""),
        ("8002", 5000, "needs 5001 open files in each worker, which may have 5000"),
        ("10000", 1024, "needs 6000 open files in each worker, which may have 1024"),
        ("10000", resource.RLIM_INFINITY, ""),
        ("none", 1024, ""),
    ],
)
def test_connections_need_descriptors(
    connections: str, files: int, says: str, loads: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, files))
    options = {"lmtp-max-connections": connections, "lmtp-workers": "2", "lmtp-hostname": "mx"}
    told = [one for one in loads("", {}, options).warnings if "open files" in one]
    assert len(told) == bool(says)
    assert says in "".join(told)
