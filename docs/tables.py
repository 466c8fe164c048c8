"""Prints the tables of the documentation from the code, so that they cannot be wrong.

`make docs` writes docs/CONFIG.md, docs/REPLIES.md, docs/man/, the settings in README.md, the
verdicts in docs/HOOKS.md and the lines for each MTA in docs/mta/; a test compares.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from docs import manual  # noqa: E402
from lmtpd import recipes  # noqa: E402
from lmtpd.config import FILE_FORMAT  # noqa: E402
from lmtpd.protocol import replies  # noqa: E402
from lmtpd.recipients.verdict import Kind, Verdict  # noqa: E402
from lmtpd.settings import Config, Setting  # noqa: E402
from lmtpd.settings.setting import PER_LISTENER  # noqa: E402

LINES = re.compile(r"(<!-- lines: (\S+), printed by `make docs` -->\n```\n).*?(?=```\n)", re.DOTALL)
EXAMPLE = Config(lmtp_default_domain="example.org")
SECURED = replace(EXAMPLE, lmtp_cert_path=(Path("lmtp.crt"),), lmtp_key_path=(Path("lmtp.key"),))
VARIANTS = {
    "plain": EXAMPLE,
    "unix": replace(EXAMPLE, lmtp_socket_path=Path("/run/lmtpd/lmtp")),
    "starttls": SECURED,
    "implicit": replace(SECURED, lmtp_tls_only=True),
    "client": replace(SECURED, lmtp_client_certificate="required"),
}


FIRST = (
    "lmtp-bind-addr",
    "lmtp-port",
    "lmtp-socket-path",
    "lmtp-cert-path",
    "lmtp-key-path",
    "lmtp-tls-only",
    "lmtp-trusted-ips",
    "lmtp-hostname",
    "lmtp-maildir-root",
    "lmtp-maildir-path",
    "lmtp-recipient-hooks",
    "lmtp-max-message-size",
)
"""Settings that a newcomer meets; the README shows these."""


def config_page() -> str:
    """docs/CONFIG.md."""
    return "\n".join(_config_lines())


def replies_page() -> str:
    """docs/REPLIES.md."""
    return "\n".join(_replies_lines())


def readme(text: str) -> str:
    """The README with its table of settings as the code has it."""
    first = (row for row in Config.settings() if row.key in FIRST)
    rows = "".join(f"| `{row.key}` | {_default(row)} | {row.help} |\n" for row in first)
    return _filled(text, "settings", f"| key | default | meaning |\n|---|---|---|\n{rows}")


def hooks_page(text: str) -> str:
    """docs/HOOKS.md with its table of verdicts as the code has it."""
    rows = "".join(f"| `{kind.name.lower()}` | {_told(kind)} |\n" for kind in Kind)
    return _filled(text, "verdicts", f"| verdict | reply | meaning |\n|---|---|---|\n{rows}")


def mta_page(text: str, mta: str) -> str:
    """A page with the lines for an MTA as `lmtpd.py setup` prints them."""
    return LINES.sub(lambda block: block[1] + recipes.lines(mta, VARIANTS[block[2]]), text)


def pages() -> dict[Path, str]:
    """Every file that is printed, and what belongs in it."""
    start = PROJECT / "README.md"
    hooks = PROJECT / "docs" / "HOOKS.md"
    return {
        PROJECT / "docs" / "CONFIG.md": config_page(),
        PROJECT / "docs" / "REPLIES.md": replies_page(),
        PROJECT / "docs" / "man" / "lmtpd.8": manual.lmtpd_page(),
        PROJECT / "docs" / "man" / "lmtpd.conf.5": manual.settings_page(),
        hooks: hooks_page(hooks.read_text("utf-8")),
        start: mta_page(readme(start.read_text("utf-8")), "postfix"),
        **{path: mta_page(path.read_text("utf-8"), path.stem) for path in _mta_pages()},
    }


def _filled(text: str, name: str, table: str) -> str:
    """The text with a table between its marks."""
    begin, end = f"<!-- {name}: printed by `make docs` -->\n", f"<!-- end of {name} -->"
    between = re.compile(f"({re.escape(begin)}).*?({re.escape(end)})", re.DOTALL)
    return between.sub(lambda marks: f"{marks[1]}{table}{marks[2]}", text)


def _told(kind: Kind) -> str:
    """Its reply, and the first line of its constructor's docstring."""
    reply, constructor = kind.value, getattr(Verdict, kind.name.lower())
    return f"{reply.code} {reply.status} {reply.lines[0]} | {constructor.__doc__.splitlines()[0]}"


def _mta_pages() -> Iterator[Path]:
    return ((PROJECT / "docs" / "mta" / f"{mta}.md") for mta in recipes.RECIPES)


def _config_lines() -> Iterator[str]:
    yield "# Settings\n"
    yield "Every setting can stand in the file that `--config` names (`lmtp-port = 11200`), in the"
    yield "environment (`LMTP_PORT=11200`) and on the command line (`--lmtp-port 11200`). The"
    yield "command line wins over the environment, the environment over the file, and the file"
    yield "over the default. All faults are named at once, with their place; lmtpd then ends with"
    yield "exit code 78 (EX_CONFIG) and has bound nothing. `lmtpd.py check-config` looks without"
    yield "starting.\n"
    yield f"{FILE_FORMAT}\n"
    for group, rows in itertools.groupby(Config.settings(), key=lambda row: row.group):
        yield f"## {group}\n"
        if group in PER_LISTENER:
            yield "Each listener may have its own.\n"
        for row in rows:
            yield f"`{row.key}` = {_default(row)}  \n{row.help}\n"


def _default(row: Setting) -> str:
    return f"`{row.default}`" if row.default else "empty"


def _replies_lines() -> Iterator[str]:
    yield "# Replies\n"
    yield "Everything that lmtpd can say to a client. A final reply and a reply to RCPT or VRFY"
    yield "name the recipient in front of the text: `550 5.1.1 <bob@example.org> No such mailbox"
    yield "here`. 4yz: the MTA keeps the message and tries again. 5yz: it bounces. A fault of ours"
    yield "is always a 4yz; what really happened stands in the log. The last five are said by the"
    yield "bridge, in the place of a server that cannot be reached.\n"
    yield "| code | status | text | name |\n|---|---|---|---|"
    for name, reply in replies.table().items():
        text = "<br>".join(line.replace("<", "&lt;").replace("|", "\\|") for line in reply.lines)
        yield f"| {reply.code} | {reply.status or '-'} | {text} | {name} |"
    yield ""


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
