"""A PROXY header in any cut is itself, and no octet behind it is ever taken for a part of it."""

from __future__ import annotations

import contextlib
import ipaddress
import struct

from hypothesis import example, given
from hypothesis import strategies as st

from lmtpd import proxy
from lmtpd.protocol.envelope import Peer
from lmtpd.proxy import ProxyError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORTS = st.integers(0, 65535)
FIELDS = st.lists(st.tuples(st.sampled_from([1, 2, 4, 5, 0x30, 0xE0]), st.binary(max_size=40)))


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, Peer]:
    """One of either version, and the client that it names."""
    version = draw(st.sampled_from([4, 6]))
    source, target = draw(st.tuples(*[st.ip_addresses(v=version)] * 2))
    port, to_port = draw(PORTS), draw(PORTS)
    mapped = source.ipv4_mapped if isinstance(source, ipaddress.IPv6Address) else None
    client = Peer(str(mapped or source), port)
    if draw(st.booleans()):
        return f"PROXY TCP{version} {source} {target} {port} {to_port}\r\n".encode(), client
    rest = source.packed + target.packed + struct.pack("!HH", port, to_port)
    for kind, value in draw(FIELDS):
        rest += struct.pack("!BH", kind, len(value)) + value
    kind = 0x11 if version == 4 else 0x21
    return SIGNATURE + struct.pack("!BBH", 0x21, kind, len(rest)) + rest, client


@given(headers(), st.binary(max_size=30))
def test_every_prefix(made: tuple[bytes, Peer], behind: bytes) -> None:
    header, client = made
    for cut in range(len(header)):
        assert proxy.length(header[:cut]) in (None, len(header))
    assert proxy.length(header + behind) == len(header)
    assert proxy.client(header) == client


BEGUN = st.sampled_from(
    [b"", b"PROXY ", b"PROXY UNKNOWN", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2", SIGNATURE]
    + [SIGNATURE + bytes([0x21, kind, 0, 19]) for kind in (0x11, 0x21, 0x31)]
)
PIECES = st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b"\x03\0\x04", b"\0"]) | st.binary()
OCTETS = st.tuples(BEGUN, st.lists(PIECES).map(b"".join)).map(b"".join)


@given(OCTETS)
@example(b"PROXY UNKNOWN\r\n\r\n")
@example(SIGNATURE + b"\x21\x11\x00\x0c" + b"\x7f\0\0\1" * 3)
def test_any_octets(octets: bytes) -> None:
    """What was once taken stays a part of the header; what comes of it is a client or an error."""
    taken = 0
    for cut in range(len(octets) + 1):
        try:
            end = proxy.length(octets[:cut])
        except ProxyError:
            return
        if end is not None and end <= cut:
            assert taken <= end
            with contextlib.suppress(ProxyError):
                client = proxy.client(octets[:end])
                assert client is None or ipaddress.ip_address(client.address)
            return
        taken = cut
