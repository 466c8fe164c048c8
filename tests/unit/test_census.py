"""Who is connected, counted by several workers in the memory that they share."""

from __future__ import annotations

import os

import pytest

from lmtpd.server.census import Census


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1"),
        ("fe80::1%eth0", "fe80::2%eth1", "::1"),
    ],
)
def test_a_peer_is_an_address_or_a_network(address: str, same: str, other: str) -> None:
    census = Census(1)
    census.join(0)
    assert census.count("a", address) == 1
    assert census.count("b", same) == 2
    assert census.count("c", other) == 1


def test_workers_count_together_and_each_takes_away_its_own() -> None:
    census = Census(2)
    here, there = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        census.join(1)
        counts = census.count("a", "192.0.2.1"), census.count_in_all("a")
        os.write(here[1], b"%d %d" % counts)
        os.read(there[0], 1)
        census.forget("a")
        os._exit(0)
    census.join(0)
    assert os.read(here[0], 10) == b"1 1"
    assert (census.count("b", "192.0.2.1"), census.count_in_all("b")) == (2, 2)
    os.write(there[1], b"x")
    os.waitpid(child, 0)
    assert (census.count("c", "192.0.2.1"), census.count_in_all("c")) == (2, 2)
    for connection in "bc":
        census.forget(connection)
        census.forget(connection)
    census.forget("never counted")
    assert (census.count("d", "192.0.2.1"), census.count_in_all("d")) == (1, 1)
    for descriptor in (*here, *there):
        os.close(descriptor)


def test_a_worker_that_is_gone_has_no_connections() -> None:
    census = Census(2)
    census.join(1)
    for number in range(5):
        census.count(number, "192.0.2.1")
        census.count_in_all(number)
    census.leave(1)
    census.join(0)
    assert (census.count("a", "192.0.2.1"), census.count_in_all("a")) == (1, 1)


def test_many_peers_do_not_suffer_for_those_that_flood() -> None:
    census = Census(1)
    census.join(0)
    for number in range(10_000):
        census.count(number, f"198.51.100.{number % 10}")
    counts = [
        census.count(str(number), f"10.0.{number // 256}.{number % 256}") for number in range(5000)
    ]
    assert sum(count > 50 for count in counts) <= 1
    assert census.count("another", "198.51.100.1") >= 1001, "never less than there are"
