"""Hears what passes on the loopback interface, and when, without being in its way.

A relay would answer with its own acknowledgements, and hide how fast the server's are.
"""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType
from typing import NamedTuple

_ETH_P_ALL = 3
_ETHERNET_OCTETS = 14
_IPV4_TCP = 6
_SO_TIMESTAMPNS = 35
_ANCILLARY = socket.CMSG_SPACE(16)


class Segment(NamedTuple):
    """What one end said, and when."""

    seconds: float
    client_port: int
    is_from_server: bool
    text: bytes


class Sniffer:
    """Gathers `segments` to and from a loopback port while its `with` block runs; for root only."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.segments: list[Segment] = []
        self._is_over = threading.Event()

    def __enter__(self) -> Sniffer:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.bind(("lo", 0))
        # The kernel's time: we may be late to look.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                frame, [(_, _, stamp)], _, address = self._socket.recvmsg(1 << 17, _ANCILLARY)
            except TimeoutError:
                # All that came before is read.
                if self._is_over.is_set():
                    return
                continue
            # Each frame passes loopback twice, out and in.
            if address[2] != socket.PACKET_OUTGOING:
                seconds, nanoseconds = struct.unpack("qq", stamp)
                self._note(frame[_ETHERNET_OCTETS:], seconds + nanoseconds / 1e9)

    def _note(self, packet: bytes, seconds: float) -> None:
        if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != _IPV4_TCP:
            return
        segment = packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4], "big") or None]
        source, destination = (int.from_bytes(segment[at : at + 2], "big") for at in (0, 2))
        text = segment[(segment[12] >> 4) * 4 :]
        if text and self._port in (source, destination):
            is_from_server = source == self._port
            client = destination if is_from_server else source
            self.segments.append(Segment(seconds, client, is_from_server, text))
