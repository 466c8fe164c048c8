"""Every dialogue file, in memory: whole, octet by octet, and in odd cuts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support import store
from tests.support.dialogues import Say, Script, scripts
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
    """In two pieces, at every octet; a place amid octets that stood before is not tried again."""
    said = [step.octets for step in script.steps if isinstance(step, Say)]
    places = {
        octets[max(at - 4, 0) : at + 4]: at for octets in said for at in range(1, len(octets))
    }
    for at in sorted(set(places.values())):
        folder = tmp_path / str(at)
        folder.mkdir()
        _play_and_check(script, partial(_in_two, at), folder)


def _in_two(at: int, octets: bytes) -> Iterator[bytes]:
    return iter([piece for piece in (octets[:at], octets[at:]) if piece])


def _play_and_check(script: Script, cut: Cut, tmp_path: Path) -> None:
    root, settings = store.make_store(tmp_path)
    log = io.StringIO()
    if "lmtp-cert-path" in script.settings:  # STARTTLS is offered; the handshake is not real here
        for name in ("lmtp-cert-path", "lmtp-key-path"):
            (tmp_path / name).touch()
            settings |= {name: str(tmp_path / name)}
    offered = {key: text for key, text in script.settings.items() if not key.endswith("-path")}
    built = services(settings | offered, log)
    play(script, built, cut)
    script.check_store(store.messages(root))
    store.empty(root)  # nothing is left in tmp/
    assert "session-failed" not in log.getvalue(), log.getvalue()
