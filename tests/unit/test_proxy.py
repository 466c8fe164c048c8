"""PROXY headers, from the octets of their specification."""

import ipaddress
import struct

import pytest

from lmtpd import proxy
from lmtpd.protocol.envelope import Peer
from lmtpd.proxy import ProxyError

SIGNATURE = bytes.fromhex("0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A")


def v2(rest: bytes, kind: int = 0x11, command: int = 0x21) -> bytes:
    """A header of version 2 with a true length."""
    return SIGNATURE + struct.pack("!BBH", command, kind, len(rest)) + rest


def packed(source: str, port: int) -> bytes:
    """Addresses and ports."""
    address = ipaddress.ip_address(source).packed
    return address + bytes(len(address)) + struct.pack("!HH", port, 24)


V4 = packed("192.0.2.1", 56324)
V6 = packed("2001:db8::1", 1)
LONGEST = b"ffff:" * 7 + b"ffff"
# As haproxy 2.6 has sent it, with `proxy-v2-options crc32c`.
HAPROXYS = SIGNATURE + bytes.fromhex("21110013 7f000001 7f000001 9d18 ed81 030004 dec8dca1")


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n", Peer("192.0.2.1", 56324)),
        (
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Peer("255.255.255.255", 65535),
        ),
        (b"PROXY TCP6 2001:DB8::1 ::1 0 443\r\n", Peer("2001:db8::1", 0)),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Peer("192.0.2.1", 1)),
        (
            b"PROXY TCP6 %b %b 65535 65535\r\n" % (LONGEST, LONGEST),
            Peer(LONGEST.decode(), 65535),
        ),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN \r\n", None),
        (b"PROXY UNKNOWN \0\xff anything \r at all\r\n", None),
        (b"PROXY UNKNOWN %b\r\n" % (b"f" * 91), None),
        (v2(V4), Peer("192.0.2.1", 56324)),
        (v2(V6, 0x21), Peer("2001:db8::1", 1)),
        (v2(packed("::ffff:192.0.2.1", 1), 0x21), Peer("192.0.2.1", 1)),
        (v2(V4 + b"\x04\0\x03abc\xe0\0\0"), Peer("192.0.2.1", 56324)),
        (v2(V6 + b"\x02\0\x0bexample.org", 0x21), Peer("2001:db8::1", 1)),
        (v2(b"", 0x00, 0x20), None),
        (v2(V4, 0x11, 0x20), None),
        (v2(b"x", 0xFF, 0x20), None),
        (v2(b"", 0x00), None),
        (v2(b"\xff" * 3, 0x00), None),
        (v2(bytes(216), 0x31), None),
        (v2(V4, 0x12), None),
        (v2(V4, 0x10), None),
        (v2(b"", 0x01), None),
        (v2(bytes(proxy.MOST_OCTETS - 16), 0x31), None),
    ],
)
def test_headers(header: bytes, client: Peer | None) -> None:
    assert proxy.length(header) == proxy.length(header + b"LHLO x\r\n\n") == len(header)
    assert proxy.client(header) == client


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY \r\n",
        b"PROXY UNKNOWN\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY unknown\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
        b"PROXY TCP6 ::1::1 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.\u0661 192.0.2.2 1 2\r\n".encode(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\nPROXY UNKNOWN\r\n",
    ],
)
def test_malformed_lines(line: bytes) -> None:
    with pytest.raises(ProxyError, match="version 1 is malformed"):
        proxy.client(line)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (v2(V4, command=0x11), "command 0x11"),
        (v2(V4, command=0x22), "command 0x22"),
        (v2(V4, command=0x2F), "command 0x2f"),
        (v2(V4, 0x41), "family 0x41"),
        (v2(V4, 0x13), "family 0x13"),
        (v2(V4[:-1]), "too short"),
        (v2(V4, 0x21), "too short"),
        (v2(b""), "too short"),
        (v2(V4 + b"\x04"), "ends within a field"),
        (v2(V4 + b"\x04\0"), "ends within a field"),
        (v2(V4 + b"\x04\0\x04abc"), "ends within a field"),
        (v2(V4 + b"\x03\0\x04abcd"), "checksum"),
        (v2(V4 + b"\x03\0\0"), "checksum"),
    ],
)
def test_malformed_blocks(header: bytes, words: str) -> None:
    assert proxy.length(header) == len(header)
    with pytest.raises(ProxyError, match=words):
        proxy.client(header)


def test_a_right_checksum_and_each_bit_of_it() -> None:
    assert proxy.client(HAPROXYS) == Peer("127.0.0.1", 40216)
    assert proxy.client(v2(HAPROXYS[16:28] + b"\x04\0\0"))
    for place in range(16, len(HAPROXYS)):
        wrong = bytearray(HAPROXYS)
        wrong[place] ^= 1
        if place not in range(28, 31):  # another field, or another length of it
            with pytest.raises(ProxyError, match="checksum"):
                proxy.client(bytes(wrong))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"LHLO client.example\r\n", "no PROXY header"),
        (b"\x16\x03\x01", "no PROXY header"),
        (b"proxy UNKNOWN\r\n", "no PROXY header"),
        (b"PROXY\r\n", "no PROXY header"),
        (b"\r\n\r\n\0\r\nQUIX", "no PROXY header"),
        (b"PROXY UNKNOWN %b\r\n" % (b"f" * 92), "longer than 107"),
        (b"PROXY UNKNOWN %b" % (b"f" * 93), "longer than 107"),
        (v2(bytes(proxy.MOST_OCTETS - 15)), "longer than 4096"),
        (SIGNATURE + b"\x21\x11\xff\xff", "longer than 4096"),
    ],
)
def test_what_is_no_header(head: bytes, words: str) -> None:
    with pytest.raises(ProxyError, match=words):
        proxy.length(head)
