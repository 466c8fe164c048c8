"""The command line: serve, the commands beside it, those of `tools/`; an option for each setting.

Exit codes are those of sysexits.h; what is wrong goes to standard error, a line for each fault.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from . import __version__, completion, config, recipes, values
from .config import Config, ConfigError
from .failures import DeliveryError
from .log import open_log
from .mask import masked
from .protocol.address import Address
from .protocol.envelope import Peer
from .recipients.guard import GuardedHook
from .recipients.process import Process, in_thread
from .recipients.verdict import Kind, RcptContext, Verdict
from .terminal import CommandError, OutputGoneError, fail, tell, warn
from .tools import arguments
from .tools.address import address_of

_DESCRIPTION = """\
lmtpd takes mail over LMTP (RFC 2033) and puts it into Maildirs. A 250 after the
final dot means that the message is in new/ and stays there if the power fails.
"""

_EPILOG = """\
Every setting can also stand in the file (lmtp-port = 11200) and in the
environment (LMTP_PORT=11200). The command line wins over the environment, the
environment over the file.

  lmtpd.py mailbox add alice@example.org
  lmtpd.py --lmtp-port 11201
  lmtpd.py check-recipient alice@example.org --config /etc/lmtpd/lmtpd.conf
  lmtpd.py send alice@example.org
  lmtpd.py trace 0123456789abcdef --log /var/log/mail.log
  lmtpd.py doctor --send alice@example.org --config /etc/lmtpd/lmtpd.conf

lmtpd.py bridge --help: for MTAs and mail programs that do not speak LMTP over TCP.
"""

_EXIT_BY_VERDICT = {
    Kind.ACCEPT: os.EX_OK,
    Kind.UNKNOWN: os.EX_NOUSER,
    Kind.REJECT: os.EX_NOPERM,
    Kind.FULL: os.EX_TEMPFAIL,
    Kind.DEFER: os.EX_TEMPFAIL,
}


_DAYS = 1825
"""Of a certificate that signs itself: five years."""
_RECALL_SECONDS = 10.0
"""For what only adds to an answer; a worker that hangs takes half of it."""


class _Parser(argparse.ArgumentParser):
    """Wrong usage is EX_USAGE, not argparse's 2."""

    def error(self, message: str) -> NoReturn:
        words = " ".join(map(masked, message.split(" ")))  # it repeats what it does not know
        self.exit(os.EX_USAGE, f"{self.prog}: {words}\nTry {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    parser = command_line()
    options = vars(parser.parse_args(arguments))
    if "shell" in options:  # before the settings are read: they may be wrong, and no matter
        return _completion(parser, options["shell"])
    file = options.get("config")
    given = {row.key: options[row.attribute] for row in _rows() if row.attribute in options}
    run: Callable[..., int] = options.get("run", _serve)
    refused: Callable[..., int] | None = options.get("refused")
    common = {"config", "run", "refused", "address", *(row.attribute for row in _rows())}
    own = {key: options[key] for key in options.keys() - common}
    load = functools.partial(config.load, Path(file) if file else None, os.environ, given)
    try:
        if run is _serve:
            return _serve(load(), load, {"config": file, **given} if file else given)
        return run(load(), options.get("address", []), **own)
    except ConfigError as error:
        return refused(error, **own) if refused else fail(os.EX_CONFIG, error)
    except CommandError as error:
        return fail(error.code, error)
    except OutputGoneError:
        # Or Python complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return os.EX_IOERR
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _rows() -> tuple[config.Setting, ...]:
    return Config.settings()


def command_line() -> argparse.ArgumentParser:
    """The parser: all commands but the bridge, and an option for each setting."""
    parser = _Parser(
        "lmtpd",
        usage="%(prog)s [COMMAND] [--config FILE] [--SETTING VALUE ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lmtpd {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog="lmtpd")
    serve = commands.add_parser("serve", help="take mail until SIGTERM; the default")
    check = commands.add_parser("check-config", help="name every fault of the configuration")
    recipient = commands.add_parser("check-recipient", help="say what RCPT would answer, and why")
    recipient.add_argument(
        "--flush",
        dest="run",
        action="store_const",
        const=_flush_and_check,
        help="first let the running server forget what hooks answered; needs no ADDRESS",
    )
    recipient.add_argument("address", nargs="*", metavar="ADDRESS")  # --flush goes without
    certificates = commands.add_parser("cert", help="cert self-signed")
    kinds = certificates.add_subparsers(title="commands", metavar="COMMAND", required=True)
    signing = kinds.add_parser("self-signed", help="make a key and a certificate that signs itself")
    signing.add_argument(
        "address",
        nargs="*",
        metavar="NAME",
        help="host names and IP addresses by which clients call lmtpd; else lmtp-hostname",
    )
    signing.add_argument("--days", type=_days, default=_DAYS, help=f"valid so long, else {_DAYS}")
    signing.add_argument(
        "--out", type=Path, default=Path(), metavar="FOLDER", help="where the files go, else here"
    )
    setup = commands.add_parser("setup", help="print the lines by which an MTA delivers here")
    setup.add_argument("address", nargs=1, choices=recipes.RECIPES, metavar="MTA")
    shells = commands.add_parser(
        "completion",
        usage=f"%(prog)s {'|'.join(completion.SHELLS)}",
        help="print the script that completes lmtpd in a shell",
    )
    shells.add_argument("shell", choices=completion.SHELLS)
    for command, run, addresses in (
        (serve, _serve, ""),
        (check, _check_config, ""),
        (recipient, _check_recipient, " [--flush] [ADDRESS ...]"),
        (signing, _cert_self_signed, " [NAME ...] [--days DAYS] [--out FOLDER]"),
        (setup, _setup, " " + "|".join(recipes.RECIPES)),
        *arguments.add(commands),
    ):
        command.usage = f"{command.prog}{addresses} [--config FILE] [--SETTING VALUE ...]"
        command.set_defaults(run=run)
        _add_settings(command)
    _add_settings(parser)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """`--config` and an option for every setting, by group."""
    absent = argparse.SUPPRESS  # so that a command's parser does not undo what stood before it
    parser.add_argument("--config", metavar="FILE", default=absent, help="file of settings")
    for group, rows in itertools.groupby(_rows(), key=lambda row: row.group):
        section = parser.add_argument_group(group)
        for row in rows:
            meaning = f"{row.help} Default: {row.default}".replace("%", "%%")
            section.add_argument(row.option, metavar=row.kind.upper(), default=absent, help=meaning)


# The commands. Each imports what it needs: a server's parts must be imported after the patch, and
# the others start faster without them.


def _serve(settings: Config, load: Callable[[], Config], given: Mapping[str, str]) -> int:
    """The arguments: the configuration, what reads it anew, and all that the command line said."""
    from .serving import Serving

    arguments = [text for option, value in given.items() for text in (f"--{option}", value)]
    return Serving(settings, load, arguments).run()


def _check_config(settings: Config, _: list[str]) -> int:
    from . import wiring
    from .server.confinement import act_as_worker
    from .server.tls import certificates_of

    certificates = {*filter(None, certificates_of(settings.listeners))}
    act_as_worker(settings)
    wiring.verifier(settings, wiring.tree(settings), _asking())
    of_certificates = (warning for each in certificates for warning in each.warnings())
    unresolved = (warning for each in settings.listeners for warning in _unresolved(each))
    for warning in dict.fromkeys((*settings.warnings, *of_certificates, *unresolved)):
        warn(f"warning: {warning}")
    for one in settings.listeners:
        if not one.lmtp_bind_addr and not one.lmtp_socket_path:
            who = f"[{one.section}]" if one.section else "the default listener"
            warn(f"warning: {who} listens on what systemd hands over, and on nothing else")
    tell("the configuration is sound")
    return os.EX_OK


def _unresolved(settings: Config) -> list[str]:
    """Of the names of trusted peers, those that trust nobody just now."""
    from concurrent.futures import ThreadPoolExecutor

    from . import wiring

    warnings: list[str] = []

    def report(_: str, name: str, cause: str) -> None:
        warnings.append(f"lmtp-trusted-ips: {name} {cause}")

    with ThreadPoolExecutor() as pool:  # its end waits for all answers
        names = wiring.trusted_names(settings, pool.submit, lambda *_: None, report)
        for name in settings.lmtp_trusted_ips.names:
            names.resolved(name)
    return sorted(warnings)


def _check_recipient(settings: Config, texts: list[str]) -> int:
    from . import wiring
    from .server.confinement import act_as_worker

    if not texts:
        hint = "Try lmtpd check-recipient --help."
        raise CommandError(os.EX_USAGE, f"check-recipient: whom? ADDRESS is missing\n{hint}")

    addresses = [address_of(settings, text) for text in texts]
    recalled = [_recalled(settings, address) for address in addresses]  # the server obeys root
    act_as_worker(settings)
    walk: list[str] = []
    chain = wiring.verifier(
        settings,
        wiring.tree(settings),
        _asking(),
        lambda hook: _WatchedHook(hook, walk.append),
    )
    code = os.EX_OK
    for address, remembered in zip(addresses, recalled, strict=True):
        verdict = chain.verify(address, RcptContext(Peer("")))
        tell(str(verdict.reply().about(address)))
        while walk:
            tell(f"  {walk.pop(0)}")
        for mailbox in verdict.mailboxes:
            tell(f"  delivered to mailbox {mailbox} in {_folder(settings, mailbox)}")
        if verdict.reason:
            tell(f"  because of {verdict.reason}")
        for line in remembered:
            tell(f"  {line}")
        code = code or _EXIT_BY_VERDICT[verdict.kind]
    return code


def _folder(settings: Config, mailbox: str) -> str:
    from . import wiring

    try:
        return str(wiring.folder(settings, mailbox))
    except (OSError, DeliveryError) as error:
        return f"no folder: {error}"


def _recalled(settings: Config, address: Address) -> list[str]:
    """What the running server remembers of an address; nothing if there is none for us to ask."""
    from .server import commands, rendezvous

    try:
        answers = rendezvous.ask(settings, f"{commands.RECALL} {address}", _RECALL_SECONDS)
    except rendezvous.ControlError:
        return []
    # "worker", its number, what it said.
    told = (line.split(" ", 2) for line in answers)
    return [f"the running server's worker {number}: {said}" for _, number, said in told]


def _flush_and_check(settings: Config, texts: list[str]) -> int:
    from .server import commands, rendezvous

    try:
        done = commands.flushed(rendezvous.ask(settings, commands.FLUSH))
    except rendezvous.AbsentError as error:
        raise CommandError(os.EX_UNAVAILABLE, f"--flush: {error}") from error
    except rendezvous.ForeignError as error:
        raise CommandError(os.EX_NOPERM, f"--flush: {error}") from error
    except rendezvous.SilentError as error:
        raise CommandError(os.EX_TEMPFAIL, f"--flush: {error}") from error
    tell(f"flushed {len(done.workers)} of {done.asked} workers, answers forgotten: {done.answers}")
    for worker in done.ended:
        tell(f"worker {worker} has just ended, and all that it remembered with it")
    if done.silent:
        those = ", ".join(done.silent)
        raise CommandError(
            os.EX_TEMPFAIL, f"--flush: no answer from worker {those}: what it remembers may hold"
        )
    return _check_recipient(settings, texts) if texts else os.EX_OK


def _days(text: str) -> int:
    """A century at most: beyond it is a slip of the keyboard, or no date at all."""
    try:
        return values.between(1, 36500, values.number)(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _cert_self_signed(settings: Config, names: list[str], days: int, out: Path) -> int:
    from . import self_signed

    certificate, key = (out.absolute() / name for name in ("lmtp.crt", "lmtp.key"))
    try:
        self_signed.make(names or [settings.lmtp_hostname], days, certificate, key)
    except OSError as error:
        raise CommandError(os.EX_CANTCREAT, str(error)) from error
    except ValueError as error:
        raise CommandError(os.EX_USAGE, str(error)) from error
    tell(f"lmtp-cert-path = {certificate}\nlmtp-key-path = {key}")
    return os.EX_OK


def _setup(settings: Config, mta: list[str]) -> int:
    try:
        tell(recipes.lines(mta[0], settings).rstrip("\n"))
    except recipes.RecipeError as error:
        raise CommandError(os.EX_CONFIG, str(error)) from error
    return os.EX_OK


def _completion(parser: argparse.ArgumentParser, shell: str) -> int:
    tell(completion.script(shell, completion.levels(parser)).rstrip("\n"))
    return os.EX_OK


# Their tools.


class _WatchedHook:
    """Tells what a hook says, of whom, how quickly, and whether it was asked at all."""

    def __init__(self, hook: GuardedHook, tell: Callable[[str], object]) -> None:
        self._hook = hook
        self._tell = tell

    def verify(self, address: Address, context: RcptContext, end: float) -> Verdict | None:
        """The hook's opinion."""
        is_kept = self._hook.kept(address) is not None
        begun = time.perf_counter()
        verdict = self._hook.verify(address, context, end)
        took_ms = (time.perf_counter() - begun) * 1000
        by = "the cache" if is_kept else "itself"
        said = str(verdict) if verdict else "no opinion"
        self._tell(f"hook {self._hook.name} on {address}: {said} ({by}, {took_ms:.1f} ms)")
        return verdict


def _asking() -> Process:
    from . import wiring

    return wiring.process(in_thread, threading.Event, open_log("stderr", "logfmt", os.environ).line)
