"""The running server's status over HTTP: metrics, health, readiness, figures for the page."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from lmtpd.status.process import KEEP_SECONDS
from lmtpd.status.trial import PATIENCE_SECONDS
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.components import require
from tests.support.processes import accepts, free_port
from tests.support.server import Server
from tests.support.strict_load import Connection, message
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
_SOON_S = 20.0
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Status:
    """One who asks."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SOON_S)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def told(self) -> dict[str, Any]:
        status, text = self.get("/status.json")
        assert status == 200
        found: dict[str, Any] = json.loads(text)
        return found

    def workers(self) -> list[int]:
        """The process ids of those that deliver."""
        return [one["pid"] for one in self.told()["workers"] if one["standing"] == "working"]

    def standings(self) -> list[str]:
        return [one["standing"] for one in self.told()["workers"]]

    def metric(self, sample: str, **labels: str) -> float:
        """The sum of the samples of this name with these labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        found = [
            one.value
            for family in families
            for one in family.samples
            if one.name == sample and labels.items() <= one.labels.items()
        ]
        return sum(found) if found else -1.0


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[tuple[Server, Status]]:
    port = free_port()
    settings = {"lmtp_workers": 2, "lmtp_status_addr": f"127.0.0.1:{port}", **settings}
    server = Server(folder, **settings)  # type: ignore[arg-type]
    server.mailbox(ALICE)
    with server:
        status = Status(port)
        wait_for(lambda: accepts(port), _SOON_S, "the status")
        wait_for(lambda: status.get("/readyz")[0] == 200, _SOON_S, "readiness")
        every = settings["lmtp_workers"]
        wait_for(lambda: len(status.workers()) == every, _SOON_S, "a sample of each worker")
        yield server, status


def deliver(server: Server, number: int, *recipients: str) -> None:
    with Connection(server.port, lambda: 0) as connection:
        connection.deliver([*recipients], message(number))


def test_the_figures_are_those_of_all_workers(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, status):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: deliver(server, number, ALICE), range(40)))
        deliver(server, 100, "nobody@example.org")
        wait_for(
            lambda: status.metric("lmtpd_recipients_total", outcome="delivered") == 40,
            _SOON_S,
            "40 deliveries",
        )
        wait_for(lambda: status.told()["most_refused"], _SOON_S, "the refusal")
        assert status.metric("lmtpd_recipients_total", outcome="refused") == 1
        assert status.metric("lmtpd_replies_total", code="550") == 1
        assert status.metric("lmtpd_delivery_seconds_count") == 40
        assert status.metric("lmtpd_commit_copies_sum") == 40
        assert status.metric("lmtpd_hook_up", hook="maildirs") == 1
        assert status.metric("lmtpd_store_free_bytes") > 0
        told = status.told()
        assert sum(slot["delivered"] for slot in told["slots"]) == 40
        assert sum(slot["refused"] for slot in told["slots"]) == 1
        assert told["most_refused"] == [{"recipient": "nobody@example.org", "count": 1}]
        assert told["last"][0]["event"] == "refused"
        assert told["last"][1]["recipient"] == ALICE
        assert 0 < told["latency"]["delivery"]["p99"] < _SOON_S
        assert [one["index"] for one in told["workers"]] == [0, 1]
        assert sum(one["delivered"] for one in told["workers"]) == 40
        assert told["is_ready"]


def test_metrics_in_both_forms_can_be_read(tmp_path: Path, certificate: Certificate) -> None:
    tls = {"lmtp_cert_path": certificate.cert_path, "lmtp_key_path": certificate.key_path}
    with serving(tmp_path, **tls) as (server, status):
        deliver(server, 1, ALICE)
        text = status.get("/metrics")[1]
        families = {family.name for family in text_string_to_metric_families(text)}
        open_text = status.get("/metrics", Accept=OPENMETRICS)[1]
        assert open_text.endswith("# EOF\n")
        open_families = {
            family.name: family for family in openmetrics.text_string_to_metric_families(open_text)
        }
        assert families == {*open_families}
        (expiry,) = open_families["lmtpd_certificate_expiry_timestamp_seconds"].samples
        assert expiry.labels == {"file": str(certificate.cert_path)}
        assert expiry.value > 1e9


def test_promtool_finds_nothing_to_lint(tmp_path: Path, certificate: Certificate) -> None:
    require("prometheus")
    tls = {"lmtp_cert_path": certificate.cert_path, "lmtp_key_path": certificate.key_path}
    with serving(tmp_path, **tls) as (server, status):
        deliver(server, 1, ALICE)
        deliver(server, 2, "nobody@example.org")
        wait_for(
            lambda: status.metric("lmtpd_recipients_total", outcome="refused") == 1,
            _SOON_S,
            "the refusal",
        )
        checked = subprocess.run(
            ["promtool", "check", "metrics"],
            input=status.get("/metrics")[1],
            capture_output=True,
            text=True,
            timeout=_SOON_S,
            check=False,
        )
        assert checked.stdout + checked.stderr == ""
        assert checked.returncode == 0


def test_health_is_that_of_the_workers(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, status):
        assert status.get("/healthz") == (200, "alive\n")
        workers = status.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: status.get("/healthz")[0] == 503, _SOON_S, "ill health")
            assert "no worker" in status.get("/readyz")[1]
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        wait_for(lambda: status.get("/healthz")[0] == 200, _SOON_S, "good health")


def test_one_worker_of_two_that_is_silent_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, status):
        pid = status.workers()[1]
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: status.standings() == ["working", "silent"], _SOON_S, "silence")
            told = status.told()
            assert told["is_ready"]
            (trouble,) = told["troubles"]
            assert trouble.startswith(f"worker 1 (process {pid}) has told nothing for ")
            assert status.metric("lmtpd_workers", state="silent") == 1
            assert status.metric("lmtpd_workers", state="working") == 1
            assert status.metric("lmtpd_workers_wanted") == 2
            assert status.get("/healthz")[0] == 200
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: status.standings() == ["working"] * 2, _SOON_S, "its voice")
        assert status.told()["troubles"] == []


def test_a_worker_that_dies_again_and_again_is_missed(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, status):
        first, second = status.workers()
        (teller,) = {*server.workers()} - {first, second}

        def is_missed() -> bool:
            for pid in {*server.workers()} - {first, teller}:
                os.kill(pid, signal.SIGKILL)
            return status.standings() == ["working", "missing"]

        wait_for(is_missed, _SOON_S, "it to be missed")
        assert status.told()["workers"][1]["pid"] == second
        (trouble,) = status.told()["troubles"]
        assert trouble.startswith("worker 1 is missing for ")
        wait_for(lambda: status.standings() == ["working"] * 2, 3 * _SOON_S, "one that lives")


def test_a_disk_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
    hangs = tmp_path / "hangs"
    program = ("-m", "tests.support.hanging", "free", str(tmp_path / "maildirs"), str(hangs))
    with serving(tmp_path, program=program) as (_, status), ThreadPoolExecutor(8) as pool:
        assert status.told()["disk"]
        hangs.touch()
        try:
            wait_for(lambda: status.told()["disk"] is None, _SOON_S, "no figure of the disk")
            wait_for(lambda: status.told()["not_ready"], _SOON_S, "a write that hangs as well")
            begun = time.monotonic()
            every = [*pool.map(lambda _: status.told(), range(8))]
            assert time.monotonic() - begun < PATIENCE_SECONDS, "who comes late does not wait again"
            assert {one["not_ready"][0][:34] for one in every} == {
                "the mail store does not answer for"
            }
            assert status.metric("lmtpd_store_free_bytes") == -1
            assert status.metric("lmtpd_workers_wanted") == 2
        finally:
            hangs.unlink()
        wait_for(lambda: status.told()["disk"], _SOON_S, "the disk")
        wait_for(lambda: status.get("/readyz")[0] == 200, _SOON_S, "readiness")


def test_behind_a_reload_the_old_worker_drains_beside_the_new_one(tmp_path: Path) -> None:
    with serving(tmp_path, lmtp_workers=1) as (server, status):
        deliver(server, 1, ALICE)
        delivered = {"sample": "lmtpd_recipients_total", "outcome": "delivered"}
        wait_for(lambda: status.metric(**delivered) == 1, _SOON_S, "a delivery")
        (old,) = status.workers()
        client = Client.tcp(server.port)
        assert client.reply().code == 220
        for line in ("LHLO client.example", "MAIL FROM:<>", f"RCPT TO:<{ALICE}>"):
            assert client.command(line).code == 250
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: status.standings() == ["working", "draining"], _SOON_S, "both")
        assert [one["pid"] for one in status.told()["workers"]][1] == old
        assert status.told()["troubles"] == []
        assert status.metric("lmtpd_connections") == 1
        assert status.metric("lmtpd_workers", state="draining") == 1
        assert status.metric(**delivered) == 1
        assert client.command("DATA").code == 354
        client.send(b"\r\n.\r\n")
        assert client.reply().code == 250
        client.close()
        wait_for(lambda: status.standings() == ["working"], _SOON_S, "the end of the old one")
        assert status.metric(**delivered) == 2, "its last words were heard"
        assert sum(slot["delivered"] for slot in status.told()["slots"]) == 2


def test_readiness_is_tried_on_the_disk(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, status):
        assert [path.name for path in server.root.iterdir()] == ["example.org"]
        server.root.rename(tmp_path / "away")
        wait_for(lambda: status.get("/readyz")[0] == 503, _SOON_S, "a store that is not there")
        assert "cannot be written to" in status.get("/readyz")[1]
        assert status.told()["not_ready"]
        (tmp_path / "away").rename(server.root)
        wait_for(lambda: status.get("/readyz")[0] == 200, _SOON_S, "the store")


def test_a_disk_below_its_reserve_is_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path, lmtp_disk_reserve="none") as (server, _):
        assert server.stop() == 0
    port = free_port()
    settings: dict[str, Any] = {"lmtp_status_addr": f"127.0.0.1:{port}"}
    with Server(tmp_path, **settings, lmtp_disk_reserve="1000000G"):
        wait_for(lambda: accepts(port), _SOON_S, "the status")
        answer = Status(port).get("/readyz")
        assert answer[0] == 503
        assert "lmtp-disk-reserve" in answer[1]


def test_a_hook_that_is_down_is_told(tmp_path: Path) -> None:
    settings = {
        "lmtp_recipient_hooks": "maildirs;socketmap",
        "lmtp_socketmap": f"inet:127.0.0.1:{free_port()}:users",
        "lmtp_hook_faults": 1,
    }
    with serving(tmp_path, **settings) as (server, status):
        deliver(server, 1, "nobody@example.org")
        wait_for(lambda: status.get("/readyz")[0] == 503, _SOON_S, "a hook that is down")
        assert "hook socketmap is down" in status.get("/readyz")[1]
        assert status.metric("lmtpd_hook_up", hook="socketmap") == 0
        assert status.metric("lmtpd_hook_faults_total", hook="socketmap") >= 1


def test_what_a_killed_worker_did_is_not_forgotten(tmp_path: Path) -> None:
    with serving(tmp_path, lmtp_workers=1) as (server, status):
        deliver(server, 1, ALICE)
        wait_for(
            lambda: status.metric("lmtpd_recipients_total", outcome="delivered") == 1,
            _SOON_S,
            "a delivery",
        )
        (pid,) = status.workers()
        os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: any(one["pid"] != pid for one in status.told()["workers"]), _SOON_S, "another"
        )
        deliver(server, 2, ALICE)
        wait_for(
            lambda: status.metric("lmtpd_recipients_total", outcome="delivered") == 2,
            _SOON_S,
            "a delivery by another worker",
        )


def test_the_process_that_tells_is_replaced_and_no_mail_waits_for_it(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, status):
        (pid,) = {*server.workers()} - {*status.workers()}
        os.kill(pid, signal.SIGSTOP)
        for number in range(20):
            deliver(server, number, ALICE)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: "companion-ended name=status" in server.log, _SOON_S, "a line")
        wait_for(lambda: accepts(status.port), _SOON_S, "its successor")
        wait_for(
            lambda: status.metric("lmtpd_recipients_total", outcome="delivered") == 20,
            _SOON_S,
            "what was done meanwhile",
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_successor_knows_what_it_knew(number: signal.Signals, tmp_path: Path) -> None:
    with serving(tmp_path, lmtp_workers=1) as (server, status):
        deliver(server, 1, ALICE)
        deliver(server, 2, "nobody@example.org")
        delivered = {"sample": "lmtpd_recipients_total", "outcome": "delivered"}
        wait_for(lambda: len(status.told()["last"]) == 2, _SOON_S, "both to be told")
        (worker,) = status.workers()
        (pid,) = {*server.workers()} - {worker}
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: status.workers() not in ([], [worker]), _SOON_S, "another worker")
        before = status.told()
        if number == signal.SIGKILL:
            due = before["now"] + 2 * KEEP_SECONDS
            wait_for(lambda: status.told()["now"] > due, _SOON_S, "it to be kept")
        os.kill(pid, number)
        wait_for(lambda: f"name=status pid={pid}" in server.log, _SOON_S, "its end")
        wait_for(lambda: accepts(status.port), _SOON_S, "its successor")
        assert status.metric(**delivered) == 1, "of a worker that has ended"
        after = status.told()
        assert after["last"] == before["last"]
        assert after["started"] == before["started"]
        assert after["most_refused"] == before["most_refused"]
        assert sum(slot["delivered"] for slot in after["slots"]) == 1
        deliver(server, 3, ALICE)
        wait_for(lambda: status.metric(**delivered) == 2, _SOON_S, "the next delivery")
        assert sum(slot["delivered"] for slot in status.told()["slots"]) == 2


def test_another_program_knows_it_as_well(tmp_path: Path) -> None:
    """And does not miss the workers of before."""
    with serving(tmp_path, lmtp_workers=1) as (server, status):
        delivered = {"sample": "lmtpd_recipients_total", "outcome": "delivered"}
        deliver(server, 1, ALICE)
        wait_for(lambda: status.metric(**delivered) == 1, _SOON_S, "a delivery")
        before, (old,) = status.told(), status.workers()
        os.kill(server.pid, signal.SIGUSR2)
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "another worker")
        wait_for(lambda: accepts(status.port), _SOON_S, "who tells it now")
        wait_for(lambda: status.workers() not in ([], [old]), _SOON_S, "its first sample")
        assert status.metric(**delivered) == 1
        after = status.told()
        assert after["started"] == before["started"]
        assert after["last"] == before["last"]
        deliver(server, 2, ALICE)
        wait_for(lambda: status.metric(**delivered) == 2, _SOON_S, "the next delivery")
        wait_for(lambda: status.standings() == ["working"], _SOON_S, "no other worker")
        assert status.told()["troubles"] == []


def test_it_ends_with_the_server_even_if_that_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, status):
        server.kill()
        wait_for(lambda: not accepts(status.port), _SOON_S, "the end")
        server.kill_all()


def test_a_port_that_is_taken_stops_no_mail(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Server(tmp_path, lmtp_status_addr=f"127.0.0.1:{port}") as server:
            server.mailbox(ALICE)
            wait_for(lambda: "companion-failed" in server.log, _SOON_S, "a line")
            assert f"cannot listen on 127.0.0.1:{port}" in server.log
            deliver(server, 1, ALICE)
            assert len(server.messages(ALICE)) == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("[::1]:{port}", 200),
        ("LOCALHOST.", 200),
        ("mail.example.org", 200),
        ("attacker.example", 421),
        ("attacker.example:{port}", 421),
        ("127.0.0.1.attacker.example", 421),
        ("", 421),
    ],
)
def test_a_name_that_is_not_ours_is_not_served(host: str, status: int, tmp_path: Path) -> None:
    """DNS rebinding: a page of another site in the administrator's browser."""
    with serving(tmp_path, lmtp_hostname="mail.example.org") as (_, asked):
        assert asked.get("/status.json", Host=host.format(port=asked.port))[0] == status


def test_what_is_not_asked_for_rightly(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, status):
        assert status.get("/nothing")[0] == 404
        assert status.get("/../../etc/passwd")[0] == 404
        assert status.get("/", method="POST")[0] == 501
        assert status.get("/healthz", method="HEAD") == (200, "")
        with socket.create_connection(("127.0.0.1", status.port)) as connection:
            connection.sendall(b"\x16\x03\x01" + bytes(1000) + b"\r\n\r\n")
            connection.recv(1000)
        stalled = [socket.create_connection(("127.0.0.1", status.port)) for _ in range(50)]
        assert status.get("/healthz")[0] == 200
        for one in stalled:
            one.close()
        assert "status-failed" not in server.log
