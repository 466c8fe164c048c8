"""Dialogue files: what a client says, what it must hear, and what must lie on disk afterwards.

    # a comment; the first one says what the file shows
    set: lmtp-vrfy = false         a setting of the server under test
    only: clear                    not over TLS (the file speaks of STARTTLS itself)
    C: LHLO client.example         a line of the client, CR LF added; `\\` is nothing special
    C> .\\r                         octets of the client, escapes undone and nothing added
    @ 65536                        so many times the letter x
    tls                            the client does its handshake now
    S: 250 2.0.0 *                 a line of the server; `*` is anything
    S: 250-...                     any number of lines of one reply
    closed                         the server has closed the connection
    new: alice@example.org 1       messages in new/ of a mailbox when all is said
    stored: alice@example.org      the message there ends with the lines below
    | Subject: hello
    | \\x00                         escapes are undone here too
    lacks: alice@example.org text  no message of the mailbox holds these octets

Client lines that follow each other are sent together, as a pipelining client does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "dialogues"


@dataclass(frozen=True, slots=True)
class Say:
    """Octets of the client, sent in one piece."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Hear:
    """Lines of the server, in order."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Handshake:
    """The client begins TLS."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The server has ended the connection."""


Step = Say | Hear | Handshake | Closed


@dataclass(slots=True)
class Script:
    """One dialogue file."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    is_for_clear_text: bool = False
    steps: list[Step] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    lacking: list[tuple[str, bytes]] = field(default_factory=list)

    def check_store(self, messages: dict[str, list[bytes]]) -> None:
        """What lies in the mailboxes is what the file says."""
        for mailbox, count in self.counts.items():
            assert len(messages.get(mailbox, [])) == count, f"{mailbox}: not {count} messages"
        for mailbox, end in self.stored.items():
            found = messages.get(mailbox, [])
            assert any(message.endswith(end) for message in found), (end, found)
        for mailbox, octets in self.lacking:
            assert not any(octets in message for message in messages.get(mailbox, []))


def scripts() -> list[Script]:
    """Every dialogue file."""
    found = [read(path) for path in sorted(FOLDER.glob("*.lmtp"))]
    assert found, "no dialogue files"
    return found


def read(path: Path) -> Script:
    """One dialogue file; a line that means nothing is a fault of its author."""
    script = Script(path.stem)
    storing = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        word, _, rest = line.partition(" ")
        match word:
            case "" | "#":
                continue
            case "set:":
                key, _, value = rest.partition("=")
                script.settings[key.strip()] = value.strip()
            case "only:" if rest == "clear":
                script.is_for_clear_text = True
            case "C:":
                _add_said(script, rest.encode() + b"\r\n")
            case "C>":
                _add_said(script, unescaped(rest))
            case "@":
                _add_said(script, b"x" * int(rest))
            case "S:":
                _add_heard(script, rest)
            case "tls":
                script.steps.append(Handshake())
            case "closed":
                script.steps.append(Closed())
            case "new:":
                mailbox, _, count = rest.rpartition(" ")
                script.counts[mailbox] = int(count)
            case "stored:":
                storing = rest
                script.stored[storing] = b""
            case "|":
                script.stored[storing] += unescaped(rest) + b"\n"
            case "lacks:":
                mailbox, _, text = rest.partition(" ")
                script.lacking.append((mailbox, unescaped(text)))
            case _:
                raise ValueError(f"{path.name}:{number}: {line!r}")
    return script


def unescaped(text: str) -> bytes:
    """`\\r`, `\\n`, `\\\\` and `\\xNN` undone; all else as UTF-8."""
    codes = {b"r": b"\r", b"n": b"\n", b"\\": b"\\"}
    return re.sub(
        rb"\\(?:([rn\\])|x([0-9a-f]{2}))",
        lambda found: codes[found[1]] if found[1] else bytes([int(found[2], 16)]),
        text.encode(),
    )


def check_heard(patterns: tuple[str, ...], lines: list[str]) -> None:
    """The lines that the server said are those that were due."""
    regex = "".join(
        rf"(?:{line[:4]}[^\n]*\n)*" if line.endswith("-...") else _pattern(line) + "\n"
        for line in patterns
    )
    heard = "".join(f"{line}\n" for line in lines)
    assert re.fullmatch(regex, heard), f"due:\n{chr(10).join(patterns)}\n\nheard:\n{heard}"


def is_heard_whole(patterns: tuple[str, ...], lines: list[str]) -> bool:
    """Whether as many replies are here as are due: then is the time to compare."""
    due = sum(1 for line in patterns if line[3:4] != "-")
    return sum(1 for line in lines if line[3:4] != "-") >= due


def _pattern(line: str) -> str:
    return "[^\\n]*".join(re.escape(part) for part in line.split("*"))


def _add_said(script: Script, octets: bytes) -> None:
    if script.steps and isinstance(script.steps[-1], Say):
        octets = script.steps.pop().octets + octets  # type: ignore[union-attr]
    script.steps.append(Say(octets))


def _add_heard(script: Script, pattern: str) -> None:
    patterns = (pattern,)
    if script.steps and isinstance(script.steps[-1], Hear):
        patterns = script.steps.pop().patterns + patterns  # type: ignore[union-attr]
    script.steps.append(Hear(patterns))
