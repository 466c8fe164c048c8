"""Every dialogue file, in memory: whole, octet by octet, and in odd cuts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.client.reader import ReplyReader
from lmtpd.protocol.reply import Reply
from lmtpd.services import Services
from tests.support import store
from tests.support.conversation import HANDSHAKE, Conversation, lead
from tests.support.dialogues import Handshake, Say, Script, scripts
from tests.support.memory import Cut, play, services


def _whole(octets: bytes) -> Iterator[bytes]:
    yield octets


def _by_octets(octets: bytes) -> Iterator[bytes]:
    return (octets[at : at + 1] for at in range(len(octets)))


def _odd(octets: bytes) -> Iterator[bytes]:
    """Pieces of 3, 1, 4, 1, 5... octets, so that CR LF and dots are cut everywhere."""
    sizes = (3, 1, 4, 1, 5, 9, 2, 6)
    at = 0
    turn = 0
    while at < len(octets):
        size = sizes[turn % len(sizes)]
        yield octets[at : at + size]
        at += size
        turn += 1


@pytest.mark.parametrize("cut", [_whole, _by_octets, _odd])
@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.name)
def test_dialogue(script: Script, cut: Cut, tmp_path: Path) -> None:
    _play_and_check(script, cut, tmp_path)


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.name)
def test_dialogue_split_anywhere(script: Script, tmp_path: Path) -> None:
    """In two pieces, at every octet: each time the events of the whole, with the same replies.

    Without a session, for it knows events alone; amid the octets of a filler all places are alike.
    """
    built, heard = _play_and_check(script, _whole, tmp_path)
    replies = _replies(heard)
    said = [
        step.octets if isinstance(step, Say) else HANDSHAKE
        for step in script.steps
        if isinstance(step, Say | Handshake)
    ]

    def conversation(*sizes: int) -> Conversation:
        one = Conversation(built.limits, built.extensions, answers=replies)
        lead(one, b"".join(said), sizes)
        return one

    whole = conversation()
    assert whole.said == replies
    begin = 0
    for part in b"".join(said).split(HANDSHAKE):
        for at in range(1, len(part)):
            if part[at - 4 : at + 4] == b"x" * 8:
                continue
            pieces = conversation(*([begin, at] if begin else [at]))
            assert pieces.essence == whole.essence, (part[:at], part[at:])
            assert pieces.said == replies
            assert pieces.dialogue.is_open is whole.dialogue.is_open
        begin += len(part)


def _replies(heard: bytes) -> list[Reply]:
    """Behind the greeting."""
    reader = ReplyReader()
    reader.feed(heard)
    return list(iter(reader.next_reply, None))[1:]


def _play_and_check(script: Script, cut: Cut, tmp_path: Path) -> tuple[Services, bytes]:
    root, settings = store.make_store(tmp_path)
    log = io.StringIO()
    if "lmtp-cert-path" in script.settings:  # STARTTLS is offered; the handshake is not real here
        for name in ("lmtp-cert-path", "lmtp-key-path"):
            (tmp_path / name).touch()
            settings |= {name: str(tmp_path / name)}
    offered = {key: text for key, text in script.settings.items() if not key.endswith("-path")}
    built = services(settings | offered, log)
    heard = play(script, built, cut)
    script.check_store(store.messages(root))
    store.empty(root)  # nothing is left in tmp/
    assert "session-failed" not in log.getvalue(), log.getvalue()
    return built, heard
