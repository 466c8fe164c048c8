"""The command line of the bridge: options, shapes, and what happens when something goes wrong.

The bridge is run for each message, hence getopt, and imports where they are needed. Wrong usage
and unforeseen faults, a library that is missing among them, are temporary failures, not EX_USAGE:
MTAs bounce on that, and a slip of the administrator must not bounce mail.
"""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .exits import QMAIL_SOFT, SOFT

if TYPE_CHECKING:
    from .call import Call

USAGE = """\
usage: lmtpd.py bridge lmtp [OPTION ...] [SERVER]
       lmtpd.py bridge qmail [OPTION ...] [--recipient ext|local]
       lmtpd.py bridge qmail-local [OPTION ...] [--recipient ext|local] --
                     USER HOMEDIR LOCAL DASH EXT DOMAIN SENDER ALIASEMPTY
       lmtpd.py bridge pipe [OPTION ...] [-f SENDER] RECIPIENT ...

Carries mail to an LMTP server. lmtp: LMTP on standard input and output, as
Sendmail's local mailer speaks it. qmail: from a .qmail file. qmail-local: in its
place. pipe: the message on standard input, as sendmail takes it.

  --to SERVER      127.0.0.1:11200 (the default), [::1]:11200 or /path/of/socket
  --tls MODE       none (the default); may: STARTTLS if it is offered; encrypt:
                   STARTTLS or nothing; implicit: TLS from the first octet
  --ca-path FILE   believe only a server with a certificate signed by these
  --tls-name NAME  name in the server's certificate, if not that of --to

docs/BRIDGE.md: exit codes, and how each MTA is set up.
"""

_SERVER = ["to=", "tls=", "ca-path=", "tls-name="]
# Short and long options of each shape. sendmail's -i and -o mean nothing here.
SHAPES = {
    "lmtp": ("", _SERVER),
    "qmail": ("", [*_SERVER, "recipient="]),
    "qmail-local": ("", [*_SERVER, "recipient="]),
    "pipe": ("f:io:", _SERVER),
}


def main(arguments: Sequence[str]) -> int:
    """Run one shape; the process's exit code."""
    shape = arguments[0] if arguments else ""
    if "--help" in (shape, *arguments[1:2]):
        sys.stdout.write(USAGE)
        return os.EX_OK
    try:
        return _run(shape, arguments[1:])
    except (ValueError, getopt.GetoptError) as error:
        fault = f"{error}\nTry lmtpd.py bridge --help."
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not bounce mail
        fault = f"{type(error).__name__}: {error}"
    print(f"lmtpd bridge: {fault}", file=sys.stderr)  # noqa: T201
    return QMAIL_SOFT if shape.startswith("qmail") else SOFT


def lmtp() -> int:
    """`lmtp.py 127.0.0.1:11200`, as Sendmail's local_lmtp runs it."""
    return main(["lmtp", *sys.argv[1:]])


def _run(shape: str, arguments: Sequence[str]) -> int:
    if shape not in SHAPES:
        raise ValueError(f"{shape!r} is none of {', '.join(SHAPES)}")
    short, long = SHAPES[shape]
    options, rest = getopt.getopt(list(arguments), short, long)
    from .call import Call

    return _runner(shape)(Call(rest, dict(options)))


def _runner(shape: str) -> Callable[[Call], int]:
    """What carries it out, imported only now."""
    match shape:
        case "lmtp":
            from . import relay

            return relay.run
        case "pipe":
            from . import pipe

            return pipe.run
        case _:
            from . import qmail

            return qmail.run_as_qmail_local if shape == "qmail-local" else qmail.run
