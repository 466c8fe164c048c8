"""`lmtpd.py trace`: from an id in a reply, a Received field or an MTA's log to the file.

The id of a transaction stands in the text of its 250, in Received, in each line of the log about it
and in the name of each file. The MTA's own number is in the log where the MTA says it (XFORWARD
IDENT). One leads to the other, until nothing new is found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from ..config import Config
from ..failures import DeliveryError, told
from ..terminal import CommandError, Progress, printable, tell, warn
from . import log_lines, message_files
from .log_lines import Line, LogError
from .spot import Spot, spots

MEANINGS = {
    "id": "of the transaction: also in the 250, in Received and in the file's name",
    "peer": "who handed it over",
    "helo": "what that called itself",
    "tls": "what it was encrypted with",
    "client_cert": "whom its certificate names",
    "sender": "of the envelope: the address of MAIL",
    "size": "octets as they are stored, less our trace fields",
    "client_ident": "the MTA's own number of the message: its queue id",
    "client_name": "who gave it to the MTA",
    "client_addr": "the address of that one",
    "client_port": "its port",
    "client_proto": "how it came to the MTA",
    "client_helo": "what that one called itself",
    "client_source": "whether it came from outside",
    "recipient": "of the envelope: the address of RCPT",
    "mailbox": "where the recipient's mail goes",
    "reply": "what the client was told",
    "seconds": "from the last octet until it was durable",
    "file": "its name in new/; its reader adds flags when it goes to cur/",
    "cause": "why it failed",
}

_ID = re.compile(r"[0-9A-Za-z]{5,40}")
_QUEUE_ID = re.compile(r"\bpostfix[\w/-]*\[\d+\]: ([0-9A-Za-z]{5,20}): ")
"""Before a message of Postfix."""
_NEXT_NAME = re.compile(r",(?=[0-9]+\.M[0-9])")
_MOST_PASSES = 4
_MOST_LINES = 10_000


def run(settings: Config, texts: Sequence[str], *, logs: list[str], units: list[str]) -> int:
    """Tell what the log and the store know; EX_NOINPUT if that is nothing.

    Raises:
        CommandError: a text has no id in it, or a log that was named cannot be read.
    """
    wanted = {_id_of(text) for text in texts}
    try:
        found = _history(log_lines.of_files(logs) if logs else log_lines.of_units(units), wanted)
    except LogError as error:
        if logs:
            raise CommandError(os.EX_NOINPUT, printable(str(error))) from error
        warn(f"lmtpd: the journal cannot be read, and --log was not given: {printable(str(error))}")
        found = []
    explained: set[str] = set()
    for line in found:
        _tell_line(line, explained)
    delivered = [line for line in found if line.fields.get("file")]
    there = sum(_tell_files(settings, line) for line in delivered)
    if not delivered:
        there = _search_all(
            settings, {one for one in wanted if message_files.OUR_ID.fullmatch(f"id {one}")}
        )
    if not found and not there:
        warn(f"lmtpd: nothing is known of {', '.join(sorted(wanted))}")
        return os.EX_NOINPUT
    return os.EX_OK


def _id_of(text: str) -> str:
    """The id that somebody has typed, or that is in the line which somebody has pasted."""
    found = message_files.OUR_ID.search(text)
    word = found[1] if found else text.strip()
    if not _ID.fullmatch(word):
        raise CommandError(os.EX_USAGE, f"trace: there is no id in {text!r}")
    return word


def _history(texts: Callable[[], Iterator[str]], wanted: set[str]) -> list[Line]:
    """All lines about the wanted ids, in their order; ids that belong to them are added."""
    found: list[Line] = []
    for _ in range(_MOST_PASSES):
        with Progress("lines") as progress:
            again = [*_about(texts(), wanted, progress)]
        # Of standard input nothing is left for a second look.
        found = again or found
        known = len(wanted)
        for line in found:
            wanted |= {line.fields[key] for key in ("id", "client_ident") if key in line.fields}
            wanted |= set() if line.event else set(_QUEUE_ID.findall(line.text))
            wanted |= set() if line.event else set(message_files.OUR_ID.findall(line.text))
        if len(wanted) == known:
            break
    return found


def _about(texts: Iterator[str], wanted: set[str], progress: Progress) -> Iterator[Line]:
    count = 0
    for text in texts:
        progress.step()
        if not any(one in text for one in wanted):
            continue
        line = log_lines.parsed(text)
        ids = {line.fields.get("id"), line.fields.get("client_ident")}
        if ids & wanted or (not line.event and any(map(line.holds, wanted))):
            yield line
            count += 1
        if count >= _MOST_LINES:
            return


def _tell_line(line: Line, explained: set[str]) -> None:
    """One line; each field with what it means, the first time it comes."""
    if not line.event:
        tell(printable(line.text))
        return
    tell(printable(f"{line.time} {line.event}".strip()))
    for key, value in line.fields.items():
        meaning = MEANINGS.get(key) if key not in explained else None
        explained.add(key)
        tell(printable(f"    {key:13} {value}") + (f"    ({meaning})" if meaning else ""))


def _tell_files(settings: Config, line: Line) -> int:
    """How many of a line's files are there."""
    mailboxes, names = line.fields.get("mailbox", "").split(","), set(_names(line))
    there = 0
    for mailbox in mailboxes:
        try:
            found = [*_files(Spot.of(settings, mailbox), names.__contains__)]
        except (OSError, DeliveryError) as error:
            warn(f"lmtpd: {printable(mailbox)}: {printable(told(error))}")
            continue
        for path in found:
            tell(path)
        there += len(found)
    if there < len(names):
        tell(f"{len(names) - there} of {len(names)} files not there any more: moved or removed")
    return there


def _names(line: Line) -> list[str]:
    """A name has commas in it, before its sizes."""
    return [message_files.base(name) for name in _NEXT_NAME.split(line.fields["file"])]


def _search_all(settings: Config, ids: set[str]) -> int:
    """Through the whole store, for the log says nothing; how many there are."""
    if not ids:
        return 0
    is_wanted, there = message_files.named(ids), 0
    try:
        with Progress("mailboxes") as progress:
            for spot in spots(settings, []):
                progress.step()
                try:
                    for path in _files(spot, is_wanted):
                        progress.hide()
                        tell(path)
                        there += 1
                except (OSError, DeliveryError) as error:
                    progress.hide()
                    warn(f"lmtpd: {printable(spot.mailbox)}: {printable(told(error))}")
    except (OSError, DeliveryError) as error:
        raise CommandError(os.EX_NOINPUT, printable(str(error))) from error
    return there


def _files(spot: Spot, is_wanted: Callable[[str], bool]) -> Iterator[str]:
    """Path, size and time of files with such names."""
    for where, status in message_files.found(spot, is_wanted):
        when = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
        yield printable(f"file {spot.path}/{where}    {status.st_size} octets, {when}")
