"""The words of the commands for a person; what carries one out is imported when it is run.

Each `run` is given the settings, the texts that stand alone, and its options by their names.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import values
from ..client.tls import TlsMode
from ..config import Config, ConfigError
from ..terminal import CommandError
from .mbox import Quoting

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

Command = tuple["ArgumentParser", Callable[..., int], str]
"""A parser, what carries it out, and what stands behind its name in the usage."""


def add(commands: _SubParsersAction[Any]) -> Iterator[Command]:
    """All of them."""
    yield _send(commands)
    yield _trace(commands)
    yield _doctor(commands)
    yield _top(commands)
    yield _reload(commands)
    yield _upgrade(commands)
    mailbox = commands.add_parser("mailbox", help="add, list, check, import, remove")
    actions = mailbox.add_subparsers(title="commands", metavar="COMMAND", required=True)
    yield _add(actions)
    yield _list(actions)
    yield _check(actions)
    yield _import(actions)
    yield _remove(actions)


def _send(commands: _SubParsersAction[Any]) -> Command:
    parser = commands.add_parser("send", help="send a message, and show what is said")
    add_option = parser.add_argument
    add_option("address", nargs="+", metavar="ADDRESS", help="recipients")
    add_option("--from", dest="sender", default="", metavar="ADDRESS", help="else <>, as a bounce")
    add_option(
        "--to",
        dest="server",
        metavar="SERVER",
        help="127.0.0.1:11200, [::1]:11200, unix:/path or /path; else the one that is configured",
    )
    add_option("--file", metavar="FILE", help="the message; - is standard input; else a test")
    add_option("--subject", default="Test", help="of the test message")
    encryption = parser.add_mutually_exclusive_group()
    for option, mode, meaning in (
        ("--tls", TlsMode.IMPLICIT, "from the first octet"),
        ("--starttls", TlsMode.ENCRYPT, "STARTTLS, or nothing is sent; else if it is offered"),
        ("--no-tls", TlsMode.NONE, "in clear"),
    ):
        encryption.add_argument(
            option, dest="tls_mode", action="store_const", const=mode, help=meaning
        )
    add_option("--ca-path", default="", metavar="FILE", help="believe only what these have signed")
    add_option("--tls-name", default="", metavar="NAME", help="in the server's certificate")
    add_option("--lhlo", metavar="NAME", help="what to call ourselves; else this machine's name")
    add_option(
        "--timeout",
        dest="seconds",
        type=_seconds,
        default=60.0,
        metavar="TIME",
        help="for all of it: 90, 5m; else 60 seconds",
    )
    add_option("--quiet", dest="is_quiet", action="store_true", help="the result alone")

    def run(settings: Config, texts: list[str], **options: object) -> int:
        from . import send

        return send.run(settings, texts, **options)  # type: ignore[arg-type]

    return parser, run, " ADDRESS ... [--from ADDRESS] [--to SERVER] [--file FILE]"


def _trace(commands: _SubParsersAction[Any]) -> Command:
    parser = commands.add_parser("trace", help="what became of a message, and where its file is")
    parser.add_argument(
        "address",
        nargs="+",
        metavar="ID",
        help="from a 250, a Received field or a file's name; an MTA's queue id; or a line with one",
    )
    parser.add_argument(
        "--log",
        dest="logs",
        action="append",
        default=[],
        metavar="FILE",
        help="a log, of an MTA too; plain, .gz or .journal, - is standard input; may be repeated",
    )
    parser.add_argument(
        "--unit",
        dest="units",
        action="append",
        metavar="UNIT",
        help="else what the journal has of this unit, else of lmtpd; postfix* too if repeated",
    )

    def run(settings: Config, texts: list[str], *, logs: list[str], units: list[str] | None) -> int:
        from . import trace

        return trace.run(settings, texts, logs=logs, units=units or ["lmtpd"])

    return parser, run, " ID ... [--log FILE]"


def _doctor(commands: _SubParsersAction[Any]) -> Command:
    parser = commands.add_parser("doctor", help="look for what goes wrong, and say what mends it")
    parser.add_argument(
        "--send",
        dest="recipient",
        metavar="ADDRESS",
        help="deliver a test message there as well, find it, and remove it",
    )
    parser.add_argument("--unit", default="lmtpd", metavar="UNIT", help="of systemd; else lmtpd")
    parser.add_argument(
        "--json", dest="is_json", action="store_true", help="one object, at the end"
    )

    def refused(error: ConfigError, **options: object) -> int:
        from ..doctor import command

        return command.refused(error, **options)  # type: ignore[arg-type]

    def run(settings: Config, texts: list[str], **options: object) -> int:
        from ..doctor import command

        return command.run(settings, texts, **options)  # type: ignore[arg-type]

    parser.set_defaults(refused=refused)
    return parser, run, " [--send ADDRESS] [--json]"


def _top(commands: _SubParsersAction[Any]) -> Command:
    parser = commands.add_parser("top", help="watch the running server in the terminal; q quits")
    parser.add_argument(
        "--once", dest="is_once", action="store_true", help="show it once, as a pipe gets it too"
    )
    parser.add_argument(
        "--interval",
        dest="interval_s",
        type=_interval,
        default=2.0,
        metavar="TIME",
        help="between two looks: 0.5, 10, 1m; else 2 seconds",
    )

    def run(settings: Config, _: list[str], *, is_once: bool, interval_s: float) -> int:
        try:
            from ..top import command
        except ModuleNotFoundError as error:
            missing = f"top: needs {str(error.name).partition('.')[0]}: pip install lmtpd[top]"
            raise CommandError(os.EX_UNAVAILABLE, missing) from error
        return command.run(settings, is_once, interval_s)

    return parser, run, " [--once] [--interval TIME]"


def _reload(commands: _SubParsersAction[Any]) -> Command:
    parser = commands.add_parser("reload", help="have the server read its configuration anew")
    _add_pid(parser)

    def run(settings: Config, texts: list[str], *, pid: int | None) -> int:
        from . import orders

        return orders.reload(settings, texts, pid=pid)

    return parser, run, " [--pid PID]"


def _upgrade(commands: _SubParsersAction[Any]) -> Command:
    parser = commands.add_parser(
        "upgrade", help="have the installed version take the running server's place"
    )
    _add_pid(parser)

    def run(settings: Config, texts: list[str], *, pid: int | None) -> int:
        from . import orders

        return orders.upgrade(settings, texts, pid=pid)

    return parser, run, " [--pid PID]"


def _add_pid(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--pid",
        type=int,
        metavar="PID",
        help="of the server's parent process; else the server that listens where the"
        " configuration says by now",
    )


def _add(actions: _SubParsersAction[Any]) -> Command:
    parser = actions.add_parser("add", help="make mailboxes")
    parser.add_argument("address", nargs="+", metavar="ADDRESS")

    def run(settings: Config, texts: list[str]) -> int:
        from . import mailboxes

        return mailboxes.add(settings, texts)

    return parser, run, " ADDRESS ..."


def _list(actions: _SubParsersAction[Any]) -> Command:
    parser = actions.add_parser("list", help="what is in each mailbox")
    parser.add_argument("address", nargs="*", metavar="ADDRESS", help="else all in the store")
    parser.add_argument(
        "--json", dest="is_json", action="store_true", help="an object in each line"
    )

    def run(settings: Config, texts: list[str], *, is_json: bool) -> int:
        from . import mailboxes

        return mailboxes.list_all(settings, texts, is_json=is_json)

    return parser, run, " [ADDRESS ...] [--json]"


def _check(actions: _SubParsersAction[Any]) -> Command:
    parser = actions.add_parser("check", help="what is wrong with mailboxes; --fix mends it")
    parser.add_argument("address", nargs="*", metavar="ADDRESS", help="else all in the store")
    parser.add_argument(
        "--fix", dest="fixes", action="store_true", help="mend it; the server may go on meanwhile"
    )

    def run(settings: Config, texts: list[str], *, fixes: bool) -> int:
        from . import checkup

        return checkup.run(settings, texts, fixes=fixes)

    return parser, run, " [ADDRESS ...] [--fix]"


def _import(actions: _SubParsersAction[Any]) -> Command:
    parser = actions.add_parser("import", help="put mail from elsewhere into a mailbox")
    parser.add_argument("address", nargs=1, metavar="ADDRESS")
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="SOURCE",
        help="mbox files, Maildirs with their sub-folders, files with one message each",
    )
    parser.add_argument(
        "--quoting",
        type=Quoting,
        choices=Quoting,
        default=Quoting.MBOXRD,
        metavar="KIND",
        help="of lines that begin with From in an mbox: mboxrd (the default), mboxo or none",
    )

    def run(settings: Config, texts: list[str], *, paths: list[Path], quoting: Quoting) -> int:
        from . import importing

        return importing.run(settings, texts, paths=paths, quoting=quoting)

    return parser, run, " ADDRESS SOURCE ... [--quoting KIND]"


def _remove(actions: _SubParsersAction[Any]) -> Command:
    parser = actions.add_parser("remove", help="remove mailboxes that are empty")
    parser.add_argument("address", nargs="+", metavar="ADDRESS")
    parser.add_argument("--with-mail", action="store_true", help="and those that are not")

    def run(settings: Config, texts: list[str], *, with_mail: bool) -> int:
        from . import removal

        return removal.run(settings, texts, with_mail=with_mail)

    return parser, run, " ADDRESS ... [--with-mail]"


def _seconds(text: str) -> float:
    return _time(text, 0.1, 86400.0)


def _interval(text: str) -> float:
    return _time(text, 0.1, 3600.0)


def _time(text: str, least: float, most: float) -> float:
    try:
        return values.between(least, most, values.seconds)(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
