"""`lmtpd.py mailbox add` and `mailbox list`."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from .. import wiring
from ..config import Config
from ..failures import DeliveryError, told
from ..protocol.address import Address
from ..protocol.envelope import Peer
from ..recipients.chain import VerifierChain
from ..recipients.process import in_thread
from ..recipients.verdict import RcptContext
from ..server.confinement import act_as_worker
from ..terminal import CommandError, Progress, printable, tell, warn
from .address import address_of
from .spot import Naming, Spot, entered, spots, sub_folders

_BEGUN = re.compile(r"([0-9]{9,11})\.")
"""Time, as Maildir names begin."""
_SIZE = re.compile(r",S=([0-9]{1,18})(?=[,:]|\Z)")


def add(settings: Config, texts: Sequence[str]) -> int:
    """Make mailboxes, and say of each whether mail would be taken for it.

    Raises:
        CommandError: one cannot be made.
        ConfigError: a hook cannot be had; nothing is made.
    """
    act_as_worker(settings)
    asking = wiring.process(in_thread, threading.Event, lambda *_, **__: None)
    hooks = wiring.verifier(settings, wiring.tree(settings), asking)
    naming = Naming(settings)
    for text in texts:
        mailbox = naming.mailbox(text)
        try:
            spot = Spot.of(settings, mailbox)
            spot.store.create(mailbox)
        except (OSError, DeliveryError) as error:
            raise CommandError(os.EX_CANTCREAT, f"{printable(mailbox)}: {error}") from error
        tell(f"{mailbox} in {printable(str(spot.path))}")
        if not spot.is_in_home:
            _say_if_refused(hooks, address_of(settings, text), mailbox)
    return os.EX_OK


def _say_if_refused(hooks: VerifierChain, address: Address, mailbox: str) -> None:
    """A mailbox is a place: who exists is for the hooks to say, and they may say otherwise."""
    verdict = hooks.verify(address, RcptContext(Peer("")))
    if not verdict.is_accepted:
        reason = f" ({printable(verdict.reason)})" if verdict.reason else ""
        warn(f"lmtpd: no mail comes there yet: RCPT would answer {verdict.reply()}{reason}")
    elif mailbox not in verdict.mailboxes:
        others = ", ".join(map(printable, verdict.mailboxes))
        warn(f"lmtpd: no mail of {address} comes there: RCPT takes it for {others}")


@dataclass(slots=True)
class Summary:
    """What is in a mailbox, its sub-folders included."""

    mailbox: str
    new: int = 0
    cur: int = 0
    octets: int = 0
    newest: int = 0
    """Seconds since the epoch; 0 if it is empty."""


def list_all(settings: Config, texts: list[str], *, is_json: bool) -> int:
    """A line for each mailbox, as it is found; EX_NOINPUT if one could not be read.

    Raises:
        CommandError: the store cannot be read, or one that was named is not there.
    """
    code = os.EX_OK
    try:
        with Progress("mailboxes") as progress:
            for spot in spots(settings, texts):
                progress.step()
                try:
                    line = _line(summary(spot), is_json=is_json)
                except (OSError, DeliveryError) as error:
                    progress.hide()
                    warn(f"lmtpd: {printable(spot.mailbox)}: {printable(told(error))}")
                    code = os.EX_NOINPUT
                else:
                    progress.hide()
                    tell(line)
    except (OSError, DeliveryError) as error:
        raise CommandError(os.EX_NOINPUT, printable(str(error))) from error
    return code


def summary(spot: Spot) -> Summary:
    """Count what is in a mailbox; by names alone, where they say enough.

    Raises:
        OSError: it cannot be read.
        StoreError: the store is not as it should be.
    """
    found = Summary(spot.mailbox)
    with spot.tree.opened(spot.place) as directory, spot.rights():
        _count(directory, found)
        for name in sub_folders(directory):
            with entered(name, directory) as folder:
                _count(folder, found)
    return found


def messages(directory: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files in new/ and cur/, as far as they are there, each with where it is."""
    for where in ("new", "cur"):
        try:
            with entered(where, directory) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                        yield where, entry
        except FileNotFoundError:
            continue


def _count(directory: int, found: Summary) -> None:
    for where, entry in messages(directory):
        size, begun = _SIZE.search(entry.name), _BEGUN.match(entry.name)
        if size and begun:
            octets, when = int(size[1]), int(begun[1])
        else:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # its reader was quicker
            octets, when = status.st_size, int(status.st_mtime)
        found.new += where == "new"
        found.cur += where == "cur"
        found.octets += octets
        found.newest = max(found.newest, when)


def _line(found: Summary, *, is_json: bool) -> str:
    when = datetime.fromtimestamp(found.newest, UTC).isoformat() if found.newest else None
    newest = when and when.replace("+00:00", "Z")
    if is_json:
        return json.dumps({**asdict(found), "newest": newest})
    counted = f"{printable(found.mailbox)} new={found.new} cur={found.cur} octets={found.octets}"
    return f"{counted} newest={newest}" if newest else counted
