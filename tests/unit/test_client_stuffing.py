"""Messages as they lie in files become the text of DATA, and the server reads them back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.client.stuffing import Stuffer
from lmtpd.protocol.data import DataReader

PIECES = st.lists(st.text("a.\r\n", max_size=8).map(str.encode) | st.binary(max_size=8))


def stuffed(*pieces: bytes) -> bytes:
    stuffer = Stuffer()
    return b"".join([*map(stuffer.feed, pieces), stuffer.finish()])


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"", b""),
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a", b"a\r\n"),
        (b"a\r", b"a\r\r\n"),
        (b".", b"..\r\n"),
        (b".\n", b"..\r\n"),
        (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n"),
        (b"a\n.\r\nQUIT\r\n", b"a\r\n..\r\nQUIT\r\n"),
        (b"\n..\n\n.b", b"\r\n...\r\n\r\n..b\r\n"),
        (b"a.\n.b.\n", b"a.\r\n..b.\r\n"),
        (b"a\r\r\nb\rc\n", b"a\r\r\nb\rc\r\n"),
    ],
)
def test_one_message(message: bytes, text: bytes) -> None:
    assert stuffed(message) == text
    assert stuffed(*(message[i : i + 1] for i in range(len(message)))) == text


@given(PIECES)
def test_the_server_reads_what_was_meant(pieces: list[bytes]) -> None:
    message = b"".join(pieces)
    text = stuffed(*pieces)
    assert text == stuffed(message)
    reader = DataReader()
    content = reader.feed(text + b".\r\nQUIT\r\n")
    assert reader.rest == b"QUIT\r\n"
    lines = message.replace(b"\r\n", b"\n")
    if lines and not lines.endswith(b"\n"):
        lines += b"\n"
    assert content.replace(b"\r\n", b"\n") == lines
    assert content.count(b"\n") == content.count(b"\r\n")
