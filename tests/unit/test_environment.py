"""What stays of the environment, and what programs of hooks get of it."""

from __future__ import annotations

from lmtpd.environment import of_programs, scrub


def environment() -> dict[str, str]:
    names = (
        "PATH LANG LC_ALL TZ SSL_CERT_FILE LMTP_PORT NOTIFY_SOCKET LISTEN_FDS CREDENTIALS_DIRECTORY"
    )
    others = "HOME LD_PRELOAD PYTHONPATH AWS_SECRET_ACCESS_KEY lmtp_port PATHS SSH_AUTH_SOCK MINE"
    return dict.fromkeys(f"{names} {others}".split(), "x")


def test_what_a_server_has_no_need_of_is_removed() -> None:
    found = environment()
    scrub(found)
    assert sorted(found) == [
        "CREDENTIALS_DIRECTORY",
        "LANG",
        "LC_ALL",
        "LISTEN_FDS",
        "LMTP_PORT",
        "NOTIFY_SOCKET",
        "PATH",
        "SSL_CERT_FILE",
        "TZ",
    ]


def test_what_the_administrator_names_stays() -> None:
    found = environment()
    scrub(found, {"MINE", "HOME", "ABSENT"})
    assert {"MINE", "HOME"} <= found.keys()
    assert "LD_PRELOAD" not in found


def test_programs_do_not_get_what_is_said_to_us() -> None:
    found = of_programs({"PATH": "/bin", "MINE": "1", "LMTP_SQL_URL": "x", "LISTEN_PID": "1"})
    assert found == {"PATH": "/bin", "MINE": "1"}
