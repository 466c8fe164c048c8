"""Each kind of value: what it takes, and what it says to the rest."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtpd import values
from lmtpd.accounts import Account
from lmtpd.client.target import Target
from lmtpd.trust import TrustPolicy, parse_networks


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        *((values.switch, text, True) for text in ("true", "TRUE", "Yes", "on", "1")),
        *((values.switch, text, False) for text in ("false", "No", "OFF", "0")),
        (values.number, "007", 7),
        (values.seconds, "0", 0.0),
        (values.seconds, "90", 90.0),
        (values.seconds, "90s", 90.0),
        (values.seconds, "1.5m", 90.0),
        (values.seconds, "2 h", 7200.0),
        (values.octets, "65536", 65536),
        (values.octets, "64k", 65536),
        (values.commit_mode, "syncfs", "syncfs"),
        (values.endpoint, "127.0.0.1:11280", ("127.0.0.1", 11280)),
        (values.endpoint, "[::1]:11280", ("::1", 11280)),
        (values.octets, "50M", 52428800),
        (values.octets, "1 G", 1073741824),
        (values.port, "1", 1),
        (values.port, "65535", 65535),
        (values.address, "0.0.0.0", "0.0.0.0"),
        (values.address, "0:0::1", "::1"),
        (values.server, "192.0.2.53", ("192.0.2.53", 53)),
        (values.server, "192.0.2.53:5353", ("192.0.2.53", 5353)),
        (values.server, "2001:db8::53", ("2001:db8::53", 53)),
        (values.server, "[2001:db8::53]", ("2001:db8::53", 53)),
        (values.server, "[2001:db8::53]:5353", ("2001:db8::53", 5353)),
        (values.text, "SELECT 1", "SELECT 1"),
        (values.text, "none", ""),
        (values.service_url, "", ""),
        (values.service_url, "sqlite:////a b.db", "sqlite:////a b.db"),
        (values.service_url, "mariadb://u@[::1]:3306/mail", "mariadb://u@[::1]:3306/mail"),
        (values.ldap_filter, "none", ""),
        (values.ldap_filter, "(a={local}@{domain})", "(a={local}@{domain})"),
        (values.ldap_scope, "one", "one"),
        (values.ldap_attributes, "mail; uid", ("mail", "uid")),
        (values.ldap_attributes, "none", ()),
        (values.mode, "0660", 0o660),
        (values.mode, "600", 0o600),
        (values.path, "a/b", Path("a/b")),
        (values.paths, "none", ()),
        (values.paths, "a; b/c", (Path("a"), Path("b/c"))),
        (values.bind_address, "none", ""),
        (values.bind_address, "0:0::1", "::1"),
        (values.user, "root", Account(0, "root")),
        (values.group, "007", Account(7, "7")),
        (values.users, "none", ()),
        (values.users, "root; 4294967294;", (Account(0, "root"), Account(2**32 - 2, "4294967294"))),
        (values.tls_version, "1.3", "1.3"),
        (values.ciphers, "HIGH", "HIGH"),
        (values.client_certificate, "optional", "optional"),
        (values.certificate_names, "none", frozenset()),
        (values.certificate_names, "MX.example; ;a b", frozenset({"mx.example", "a b"})),
        (values.fingerprints, "none", frozenset()),
        (values.fingerprints, ":".join(["AB"] * 32), frozenset({"ab" * 32})),
        (values.peers, "none", TrustPolicy()),
        (values.peers, "", TrustPolicy()),
        (values.peers, "10.0.0.1", TrustPolicy.parse("10.0.0.1")),
        (values.peers, "MX.example.org", TrustPolicy.parse("mx.example.org")),
        (values.networks, "none", ()),
        (values.networks, "10.0.0.1;::/0", parse_networks("10.0.0.1;::/0")),
        (values.host_name, "MX.example.org", "mx.example.org"),
        (values.domain, "none", ""),
        (values.domain, "Example.ORG", "example.org"),
        (values.domains, "none", frozenset()),
        (values.domains, " B.example; a.example ;", frozenset({"a.example", "b.example"})),
        (values.hooks, "maildirs", ("maildirs",)),
        (values.hooks, " table ; acme.ldap:Verifier; ", ("table", "acme.ldap:Verifier")),
        (values.hooks, "a:b.c;my-hook_2", ("a:b.c", "my-hook_2")),
        (values.delimiters, "+", "+"),
        (values.delimiters, "+-#", "+-#"),
        (values.delimiters, "", ""),
        (values.delimiters, "none", ""),
        *(
            (values.template, text, text)
            for text in (
                "{domain}/{local}",
                "{mailbox}",
                "{domain}/{local:.1}/{local}",
                "{local:_<2.2}/{mailbox}",
                "users/{local:10}/Maildir",
                "{{x}}{local}",
            )
        ),
    ],
)
def test_taken(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "texts", "words"),
    [
        (values.switch, ["", "ja", "2", "truefalse"], "is not true or false"),
        (values.number, ["", "-1", "1.5", "1e3", "1234567890", "\u0663"], "is not a whole number"),
        (values.seconds, ["", "5 minutes", "-1", "1d", "inf", "nan", "1e9"], "is not a time"),
        (values.commit_mode, ["", "Auto", "sync"], "is none of auto, fsync and syncfs"),
        (values.log_target, ["", "file", "Syslog"], "is none of auto, stderr, journal and syslog"),
        (values.log_format, ["", "text"], "is neither logfmt nor json"),
        (values.endpoint, ["127.0.0.1", "::1"], "has no port; such as 127.0.0.1:11280"),
        (values.endpoint, ["[::1]:0", "127.0.0.1:70000"], "is not a port number (1 to 65535)"),
        (values.endpoint, ["localhost:11280"], "is not an IPv4 or IPv6 address"),
        (values.octets, ["", "50MB", "-1", "1.5G", "9" * 5000], "is not a size"),
        (values.port, ["", "abc", "0", "65536", "-1", "+1", " 1", "\u0661"], "not a port number"),
        (values.port, ["25", "00025"], "RFC 2033 section 5"),
        (values.address, ["", "localhost", "127.1", "[::1]", "10.0.0.0/8"], "is not an IPv4 or"),
        (values.server, ["", "ns.example.org", ":53", "[::1", "::1]:53", "a:53"], "is not an IPv4"),
        (values.server, ["192.0.2.53:0", "[::1]:65536"], "is not a port number"),
        (values.mode, ["", "rw", "0888", "01660", "66"], "is not a file mode"),
        (values.path, ["", "a\0b"], "is not a path"),
        (
            values.service_url,
            ["ldap.example.org", "ldap:x", "://x", "ldap://[::1", "x://h:y"],
            "is not a URL",
        ),
        (
            values.service_url,
            ["x://u:secret@h", "x://u:@h", "x://u:secret@[::1"],
            "holds a password",
        ),
        (values.ldap_filter, ["(a={user})", "(a={})"], "is not {address}"),
        (values.ldap_filter, ["(a=b)", "(a={address)"], "holds no {address}"),
        (values.ldap_scope, ["", "subtree"], "is none of sub, one and base"),
        (values.ldap_attributes, ["mail,uid", "1a", "mail;"], "is not the name of an attribute"),
        (values.networks, ["x", ";"], "address"),
        (values.bind_address, ["localhost", "127.0.0.1:1"], "is not an IPv4 or IPv6 address"),
        (values.user, ["", "no such", "a\0b"], "is no user of this machine"),
        (values.group, ["", "no such", "a\0b"], "is no group of this machine"),
        (values.users, [";"], "holds no user"),
        (values.users, ["root;no such"], "'no such' is no user of this machine"),
        (values.user, ["4294967295", "1" * 5000], "is beyond 4294967294"),
        (values.group, ["4294967295"], "is beyond 4294967294"),
        (values.domains, ["a.example;b c", "*", "@a.example"], "host name"),
        (values.host_name, ["my_box", "a b", "10.0.0.1"], "is not a host name"),
        (values.domain, ["bücher.example", "[10.0.0.1]", "a."], "xn--"),
        (values.hooks, ["maildirs,table", "a b", "a.b", "a:", ":b", "1:b"], "the name of a hook"),
        (values.hooks, ["", " ; "], "holds no hook"),
        (values.delimiters, ["a", "+a", "@", "+ -", "\u00e9"], "cannot separate"),
        (values.template, ["{local", "{local}}", "{local!}"], "'{local"),
        (
            values.template,
            ["{}", "{0}", "{user}", "{local.upper}", "{local[0]}"],
            "is not {domain}",
        ),
        (
            values.template,
            ["{local!r}", "{local:d}", "{local:{domain}}", "{local:/<9}", "{local:999}"],
            "takes only a width",
        ),
        (values.template, ["", "a", "{domain}", "{domain}/{local:.2}"], "uncut"),
        (
            values.template,
            [
                "/{local}",
                "{local}/",
                "a//{local}",
                "../{local}",
                "./{local}",
                "{local}\0",
                "{domain:.0}/{local}",
                "{local}/..",
            ],
            "relative path",
        ),
    ],
)
def test_refused(parse: Callable[[str], object], texts: list[str], words: str) -> None:
    for text in texts:
        with pytest.raises(ValueError, match=re.escape(words)):
            parse(text)


def test_a_password_is_not_repeated() -> None:
    for text in ("x://u:secret@h/", "x://u:secret@[::1"):
        with pytest.raises(ValueError, match="password") as caught:
            values.service_url(text)
        assert "secret" not in str(caught.value)


def test_the_faults_of_all_hooks_are_named() -> None:
    with pytest.raises(ValueError, match="'a b'; 'c d'"):
        values.hooks("a b;maildirs;c d")


@pytest.mark.parametrize("text", ["", "none", "None"])
def test_optional(text: str) -> None:
    parse = values.optional(values.path)
    assert parse(text) is None
    assert parse("x") == Path("x")
    assert parse.__name__ == "path"


def test_between() -> None:
    parse = values.between(100, 1000, values.number, "RFC 5321 asks for 100")
    assert (parse("100"), parse("1000")) == (100, 1000)
    with pytest.raises(ValueError, match=r"'99' is not between 100 and 1000 \(RFC 5321"):
        parse("99")
    with pytest.raises(ValueError, match=r"'1001' is not between 100 and 1000$"):
        values.between(100, 1000, values.number)("1001")
    with pytest.raises(ValueError, match="'x' is not a whole number"):
        parse("x")


def test_host_name_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "mx1")
    assert values.host_name("none") == "mx1"


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.target, "127.0.0.1:24", Target("127.0.0.1", 24)),
        (values.socketmap, "inet:[::1]:7777:virtual", (Target("::1", 7777), "virtual")),
        (values.socketmap, "unix:/run/maps:virtual", (Target("/run/maps"), "virtual")),
        (values.map_result, "exists", "exists"),
        (values.call_protocol, "smtp", "smtp"),
        (values.url, "https://example.org:8443/x?y", "https://example.org:8443/x?y"),
        (values.command, "program 'an argument'", ("program", "an argument")),
        (values.words, "none", ""),
        (values.words, "lmtpd=ours", "lmtpd=ours"),
        (values.inner_path, "Maildir", "Maildir"),
        (values.inner_path, "mail/in box", "mail/in box"),
    ],
)
def test_back_ends(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (values.target, "127.0.0.1"),
        (values.socketmap, "tcp:127.0.0.1:7777:virtual"),
        (values.socketmap, "inet:127.0.0.1:7777:"),
        (values.socketmap, "inet:/run/maps:virtual"),
        (values.socketmap, "unix:maps:virtual"),
        (values.map_result, "maybe"),
        (values.call_protocol, "http"),
        (values.url, "ftp://example.org/"),
        (values.url, "http:///x"),
        (values.url, "http://[::1/"),
        (values.url, "http://example.org:99999/"),
        (values.url, "http://user:secret@example.org/"),
        (values.url, "http://example.org/\u00fc"),
        (values.command, "'"),
        (values.command, " "),
        (values.command, "a\0"),
        (values.words, "\u00fc"),
        *(
            (values.inner_path, path)
            for path in ("", "/x", "x/", "a//b", ".", "a/../b", "{x}", "\0")
        ),
    ],
)
def test_what_names_no_back_end(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match="is "):
        parse(text)
