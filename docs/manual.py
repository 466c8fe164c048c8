"""The manual pages lmtpd(8) and lmtpd.conf(5), printed from the parser and the table of settings.

docs/tables.py writes them into docs/man/ with all other printed pages.
"""

from __future__ import annotations

import argparse
import itertools
import re
import textwrap
from collections.abc import Iterator

from lmtpd import __version__, cli
from lmtpd.bridge.command import USAGE
from lmtpd.config import FILE_FORMAT
from lmtpd.settings import Config

_WIDTH = 78
# Else a reader's terminal shows, and copies, typographic signs in the place of ASCII.
_SIGNS = str.maketrans({"\\": r"\e", "-": r"\-", "'": r"\(aq", "^": r"\(ha", "~": r"\(ti"})

_EXIT_STATUS = """\
Those of sysexits.h: 0 all is well, 64 wrong usage, 67 no such recipient, 69 no server runs, 70 a
fault of lmtpd, 71 the port cannot be had, 73 a file cannot be made, 75 not just now, 77 refused,
or not your server, 78 configuration."""

_SIGNALS = """\
SIGTERM lets running transactions end, for `lmtp-drain-timeout` at most, tells idle clients 421,
and ends with exit status 0."""


def lmtpd_page() -> str:
    """lmtpd(8)."""
    parser = cli.command_line()
    description, epilog = str(parser.description), str(parser.epilog)
    told, examples, _ = epilog.split("\n\n")
    return "\n".join(
        [
            *_head("lmtpd", 8, "an LMTP server that puts mail into Maildirs, durably"),
            ".SH SYNOPSIS",
            r".B lmtpd",
            _troff("[COMMAND] [--config FILE] [--SETTING VALUE ...]"),
            ".SH DESCRIPTION",
            *_text(description),
            ".SH COMMANDS",
            "Without one it serves.",
            *_commands(parser, _names(parser)),
            ".SS bridge",
            *_verbatim(USAGE),
            ".SH OPTIONS",
            *_options(parser, {row.option for row in Config.settings()}),
            ".SH SETTINGS",
            *_text(f"{told} lmtpd.conf(5) has them all."),
            ".SH EXAMPLES",
            *_verbatim(textwrap.dedent(examples)),
            ".SH SIGNALS",
            *_text(_SIGNALS),
            ".SH EXIT STATUS",
            *_text(_EXIT_STATUS),
            *_see_also("lmtpd.conf (5)"),
        ]
    )


def settings_page() -> str:
    """lmtpd.conf(5)."""
    lines = [
        *_head("lmtpd.conf", 5, "the settings of lmtpd"),
        ".SH DESCRIPTION",
        *_text("This is the file that `lmtpd --config` names; lmtpd(8) reads no other. A setting"),
        *_text(
            "can also stand in the environment (`LMTP_PORT=11200`) and on the command line"
            " (`--lmtp-port 11200`). The command line wins over the environment, the environment"
            " over the file, and the file over the default. `lmtpd check-config` names every fault."
        ),
    ]
    for paragraph in FILE_FORMAT.split("\n\n"):
        lines += [".PP", *_text(paragraph)]
    for group, rows in itertools.groupby(Config.settings(), key=lambda row: row.group):
        lines += [f".SH {_troff(group.upper())}"]
        for row in rows:
            lines += [".TP", rf".B {_troff(row.key)}", *_text(row.help)]
            if row.default:  # at a colon a long one may be broken
                lines += [".br", rf"Default: {_troff(row.default)}".replace(":", r":\:")]
    return "\n".join([*lines, *_see_also("lmtpd (8)")])


def _head(name: str, section: int, meaning: str) -> Iterator[str]:
    yield r".\" Printed by `make docs`."
    yield f'.TH {name.upper()} {section} "" "lmtpd {__version__}"'
    # Names of settings are searched for and copied: they are not broken at a hyphen.
    yield ".nh"
    yield ".ad l"
    yield ".SH NAME"
    yield rf"{_troff(name)} \- {_troff(meaning)}"


def _see_also(page: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield f".BR {page}"
    yield ".PP"
    yield "RFC 2033"
    yield ""


def _commands(parser: argparse.ArgumentParser, told: set[str]) -> Iterator[str]:
    """Each command that can be given, with what it takes besides the options told elsewhere."""
    for action in parser._actions:  # noqa: SLF001 - as lmtpd/completion.py does
        if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            continue
        meanings = {one.dest: one.help for one in action._choices_actions}  # noqa: SLF001
        for word, inner in action.choices.items():
            if inner._subparsers:  # noqa: SLF001
                yield from _commands(inner, told)
                continue
            yield f".SS {_troff(inner.prog.partition(' ')[2])}"
            meaning = str(meanings[word])
            yield from _text(f"{meaning[:1].upper()}{meaning[1:]}.")
            yield ".PP"
            yield from _verbatim(" ".join(inner.format_usage().split()).removeprefix("usage: "))
            yield from _options(inner, told)


def _names(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}  # noqa: SLF001


def _options(parser: argparse.ArgumentParser, told: set[str]) -> Iterator[str]:
    """Options and arguments, but those that were told already, each with its help."""
    for action in parser._actions:  # noqa: SLF001
        if told.intersection(action.option_strings) or not action.help:
            continue
        name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value = rf" \fI{_troff(str(action.metavar or action.dest.upper()))}\fR"
        takes = bool(action.option_strings) and action.nargs != 0
        yield ".TP"
        yield rf"\fB{_troff(name)}\fR{value if takes else ''}"
        yield from _text(action.help.replace("%%", "%"))


def _text(text: str) -> Iterator[str]:
    """A paragraph, to be filled by the reader's formatter."""
    # Marked before it is wrapped: what stands between two backticks may go over a line's end.
    marked = _troff(text)
    for line in textwrap.wrap(marked, _WIDTH, break_long_words=False, break_on_hyphens=False):
        # A line that begins so would be a request.
        yield re.sub(r"^(?=[.])", r"\\&", line)


def _verbatim(text: str) -> Iterator[str]:
    yield ".nf"
    # As it is called where there is a manual page.
    for line in text.strip("\n").replace("lmtpd.py", "lmtpd").split("\n"):
        yield re.sub(r"^(?=[.])", r"\\&", _troff(line)) or r"\&"
    yield ".fi"


def _troff(text: str) -> str:
    return re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text.translate(_SIGNS))
