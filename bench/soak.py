"""A server under load for as long as one likes, and everything that goes wrong in years meanwhile.

Usage: python bench/soak.py [--minutes 20] [--seed TEXT] [--out FOLDER] [--files FOLDER]

Clients of several kinds send, a reader reads and throws away, and by chance workers are killed and
stopped, the disk is filled, the data base dies, crowds of clients vanish and the configuration is
read anew. In the end each message that was acknowledged has to have been found once and whole, and
memory, descriptors and threads have to be what they were. A run of 20 minutes or more replaces
`soak.md` and `soak.png` in bench/results/; a shorter one leaves them alone, unless --out says where
to write. It needs root, who alone may mount, and PostgreSQL. The speed of the clients is no figure
of merit: they are many threads of one Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Not this folder: its profile.py would stand before the standard library's.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from bench import machine
from bench.endurance.judge import Check, comparable, judge_mail, judge_vitals
from bench.endurance.record import Record
from bench.endurance.sender import HABITS, Sender
from bench.endurance.site import ROUTES, UNKNOWN, WORKERS, Site, site
from bench.endurance.troubles import Troubles
from bench.endurance.vitals import Vitals
from bench.progress import Progress
from bench.servers import LOOPBACK
from tests.components import COMPONENTS
from tests.support.namespace import MountError
from tests.support.waiting import wait_for

_RESULTS = Path(__file__).resolve().parent / "results"
_FULL_MINUTES = 20.0
_QUIET_S = 5.0
"""At the begin and at the end nothing happens but mail."""
_FINISHED_S = 60.0
_COMPLETE_S = 60.0
_TELLING_S = 300.0
"""In less time nobody can tell what is flat from what still grows."""
_PAGE_S = 1.0
_WIDTH = 60
_NICE = 5
"""The clients give way: a worker that takes another's place shall not have to wait for them."""


def main() -> int:
    """Run; 1 if a promise was broken, 69 (EX_UNAVAILABLE) if something that it needs is missing."""
    options = _options()
    missing = [one for name in ("postgresql", "ext4") for one in COMPONENTS[name].missing()]
    if missing:
        sys.stderr.write(f"missing: {', '.join(missing)}\n")
        return os.EX_UNAVAILABLE
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        with _folder(options.files) as folder, site(folder) as there:
            record = _Soak(there, options.seed, options.minutes).run()
    except MountError as error:
        sys.stderr.write(f"no file system of its own: {error}\n")
        return os.EX_UNAVAILABLE
    text = record.markdown()
    sys.stdout.write(text)
    out = options.out or (_RESULTS if options.minutes >= _FULL_MINUTES else None)
    if out:
        # Only here: a run that writes nothing needs no matplotlib.
        from bench.endurance.picture import draw

        out.mkdir(parents=True, exist_ok=True)
        (out / "soak.md").write_text(text)
        draw(record, out / "soak.png")
    return 0 if record.is_good else 1


class _Soak:
    """One run, from the first letter to the record."""

    def __init__(self, there: Site, seed: str, minutes: float) -> None:
        facts = machine.facts("a small ext4 on a loop device, in memory")
        del facts["peers"]
        self._facts = {**facts, "minutes": f"{minutes:g}", "seed": seed}
        self._site = there
        self._seed = seed
        self._seconds = minutes * 60
        self._status_page: Counter[str] = Counter()

    def run(self) -> Record:
        """All of it; the server has ended then."""
        server = self._site.server
        troubles = Troubles(self._site, self._seed)
        wait_for(self._is_complete, _COMPLETE_S, "all processes of the server")
        os.nice(_NICE)
        log, begun = self._site.log, self._site.ledger.begun
        vitals = Vitals(begun, server.pid, log, self._ask_status_page)
        with vitals, self._site.reader, self._senders():
            self._trouble(troubles)
        try:
            code = server.stop()
        except TimeoutError as error:
            code = None
            self._site.ledger.fault(f"it had to be killed: {error}")
        self._site.log.read_on()
        self._site.reader.read_all()
        checks = [
            *judge_mail(self._site.ledger, self._site.disk.seen, self._site.log),
            Check("exit status after SIGTERM", str(code), code == 0),
        ]
        if self._seconds >= _TELLING_S:
            checks += judge_vitals(comparable(vitals.samples, troubles.happened))
        return Record(
            self._facts,
            self._site.ledger,
            self._site.log,
            troubles.happened,
            vitals.samples,
            self._status_page,
            checks,
        )

    @contextmanager
    def _senders(self) -> Iterator[None]:
        """They send within this context; behind it nothing waits."""
        context, ledger = self._site.certificate.client_context(), self._site.ledger
        port, recipients = self._site.server.port, sorted(ROUTES)
        senders = [
            Sender(habit, number, port, recipients, UNKNOWN, context, ledger, self._seed)
            for habit in HABITS
            for number in range(habit.senders)
        ]
        for sender in senders:
            sender.start()
        try:
            time.sleep(_QUIET_S)
            yield
            time.sleep(_QUIET_S)
        finally:
            _end(senders)

    def _trouble(self, troubles: Troubles) -> None:
        """Minute after minute; in the second half with those that make all workers young."""
        steps = max(1, round(self._seconds / 60))
        progress, begun = Progress(steps), time.monotonic()
        for number in range(1, steps + 1):
            with progress.step(f"minute {number}/{steps}") as told:
                troubles.go_on(
                    begun + self._seconds * number / steps,
                    lambda what, show=told.show: show(self._so_far(what)),  # type: ignore[misc]
                    allows_reloads=number > steps / 2,
                )
                told.outcome = self._so_far("")
        troubles.upgrade()

    def _so_far(self, what: str) -> str:
        ledger = self._site.ledger
        text = f"{ledger.by_habit.total():,} acknowledged, {ledger.fault_count} faults  {what}"
        return text.ljust(_WIDTH)

    def _is_complete(self) -> bool:
        self._site.log.read_on()
        return len(self._site.log.workers) == WORKERS and self._status() == "200"

    def _ask_status_page(self) -> None:
        self._status_page[self._status()] += 1

    def _status(self) -> str:
        """What the status page says, or what hinders it."""
        url = f"http://{LOOPBACK}:{self._site.status_port}/healthz"
        try:
            with urlopen(url, timeout=_PAGE_S) as answer:
                return str(answer.status)
        except OSError as error:
            return str(getattr(error, "reason", error))


def _end(senders: list[Sender]) -> None:
    for sender in senders:
        sender.finish()
    end = time.monotonic() + _FINISHED_S
    for sender in senders:
        sender.join(max(0.0, end - time.monotonic()))
    for sender in senders:
        sender.give_up()
        sender.join()


@contextmanager
def _folder(files: Path | None) -> Iterator[Path]:
    if files:
        files.mkdir(parents=True)
        yield files
        return
    with tempfile.TemporaryDirectory(prefix="lmtpd-soak-") as name:
        yield Path(name)


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=_FULL_MINUTES)
    parser.add_argument("--seed", default="lmtpd", help="of what happens when, and of the letters")
    parser.add_argument("--out", type=Path, help="where to write the results")
    parser.add_argument("--files", type=Path, help="new folder for log and ledger, which stay")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
