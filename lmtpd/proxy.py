"""The header of the PROXY protocol: who the client is, as the proxy before us says.

Versions 1 and 2 of https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt. Octets in, a peer
out: no socket, no clock. Whoever sends a header can pass for anybody, so its reader has to know
from whom it takes one.
"""

from __future__ import annotations

import ipaddress
import re
import struct

from .protocol.envelope import Peer
from .trust import IpAddress, plain_address

MOST_OCTETS = 4096
"""Of a header in all; version 2 would allow 64 KiB, and no proxy sends a tenth of this."""

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_OCTETS = 16
"""Signature, command, family and the length of the rest."""
_V1_OCTETS = 107
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\n]*)?\r\n")
_ADDRESS, _PORT = rb"([0-9A-Fa-f.:]+)", rb"(0|[1-9][0-9]{0,4})"
_LINE = re.compile(rb"PROXY (TCP[46]) " + b" ".join([_ADDRESS, _ADDRESS, _PORT, _PORT]) + rb"\r\n")

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESS_OCTETS = {_TCP4: 4, _TCP6: 16}
_CRC32C = 0x03


class ProxyError(ConnectionError):
    """What came is no PROXY header. The protocol wants the connection ended."""


def length(head: bytes) -> int | None:
    """How long the header is that begins so.

    Args:
        head: the first octets of the connection; there may be others behind the header.

    Returns:
        Octets; None if that cannot be told yet, and then all of `head` belongs to the header.

    Raises:
        ProxyError: no header begins so.
    """
    if _SIGNATURE.startswith(head[: len(_SIGNATURE)]):
        octets = _V2_OCTETS + int.from_bytes(head[14:16], "big") if head[15:] else 0
        most = MOST_OCTETS
    elif b"PROXY ".startswith(head[:6]):
        octets, most = head.find(b"\n") + 1, _V1_OCTETS
    else:
        raise ProxyError("no PROXY header, and lmtp-proxy-ips says that one comes from here")
    if octets > most or (len(head) >= most and not octets):
        raise ProxyError(f"the PROXY header is longer than {most} octets")
    return octets or None


def client(header: bytes) -> Peer | None:
    """Who is at the other end of the proxy.

    Args:
        header: all of it, and nothing else.

    Returns:
        The client; None if there is none but the proxy itself (its health checks), or none
        with an address that could be used: the connection is then what it seems to be.

    Raises:
        ProxyError: it is malformed.
    """
    return _client_v2(header) if header.startswith(_SIGNATURE) else _client_v1(header)


def _client_v1(line: bytes) -> Peer | None:
    if _UNKNOWN.fullmatch(line):
        return None
    match = _LINE.fullmatch(line)
    try:
        if match is None:
            raise ValueError
        kind = ipaddress.IPv4Address if match[1] == b"TCP4" else ipaddress.IPv6Address
        source, _ = (kind(match[group].decode("ascii")) for group in (2, 3))
        port, to_port = int(match[4]), int(match[5])
        if max(port, to_port) > 0xFFFF:
            raise ValueError
    except ValueError:
        raise ProxyError("the PROXY header of version 1 is malformed") from None
    return _peer(source, port)


def _client_v2(header: bytes) -> Peer | None:
    command, kind = header[12], header[13]
    if command == _LOCAL:
        return None
    if command != _PROXY or kind >> 4 > 3 or kind & 0xF > 2:
        raise ProxyError(f"the PROXY header has command {command:#04x}, family {kind:#04x}")
    octets = _ADDRESS_OCTETS.get(kind)
    if octets is None:
        return None
    end = _V2_OCTETS + 2 * octets + 4
    if len(header) < end:
        raise ProxyError("the PROXY header is too short for its addresses")
    _check(header, end)
    source = ipaddress.ip_address(header[_V2_OCTETS : _V2_OCTETS + octets])
    return _peer(source, int.from_bytes(header[end - 4 : end - 2], "big"))


def _peer(source: IpAddress, port: int) -> Peer:
    """IPv4-mapped as IPv4: one client has one address, whoever counts or lists it."""
    return Peer(str(plain_address(str(source))), port)


def _check(header: bytes, place: int) -> None:
    """Walk over the fields behind the addresses; the first checksum among them has to be right."""
    while place < len(header):
        value = place + 3
        end = value + int.from_bytes(header[place + 1 : value], "big")
        if end > len(header):
            raise ProxyError("the PROXY header ends within a field")
        if header[place] == _CRC32C:
            if not _is_sum(header, value, end):
                raise ProxyError("the checksum of the PROXY header is wrong")
            return  # one is enough: hundreds would keep everybody waiting
        place = end


def _is_sum(header: bytes, value: int, end: int) -> bool:
    """Whether that field is the CRC32c of the header with the field itself zeroed (2.2.3)."""
    zeroed = header[:value] + bytes(end - value) + header[end:]
    return header[value:end] == struct.pack("!I", _crc32c(zeroed))


def _crc32c(data: bytes) -> int:
    """RFC 4960 appendix B; bit by bit, for a header is short and seldom has one."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
