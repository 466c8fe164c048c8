"""A real name server on loopback, for a table of records that the test makes."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset

Answer = Callable[[dns.message.Message], bytes | None]


class NameServer:
    """A UDP name server for a table of records; `answer` may be replaced by something worse."""

    def __init__(
        self, records: dict[tuple[str, str], list[str]], ttl: int = 300, port: int = 0
    ) -> None:
        self.records = records
        self.ttl = ttl
        self.answer: Answer = self.truth
        self.queries: Counter[tuple[str, str]] = Counter()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.address: tuple[str, int] = self.socket.getsockname()

    def truth(self, query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        for other in self.records.get((name, "CNAME"), []):
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "CNAME", other))
            name = other
        if (name, kind) in self.records:
            texts = self.records[name, kind]
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *texts))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()

    def serve(self) -> None:
        while True:
            wire, client = self.socket.recvfrom(4096)
            if wire == b"stop":
                return
            query = dns.message.from_wire(wire)
            question = query.question[0]
            self.queries[question.name.to_text(), dns.rdatatype.to_text(question.rdtype)] += 1
            response = self.answer(query)
            if response is not None:
                self.socket.sendto(response, client)


@contextmanager
def serving(server: NameServer) -> Iterator[NameServer]:
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"stop", server.address)
        thread.join()
        server.socket.close()


def reverse(address: str) -> str:
    """The name under which PTR records of an address stand."""
    return dns.reversename.from_address(address).to_text()
