"""The process: takes samples, and answers until it is told to end."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from contextlib import suppress

from ..config import Config
from ..delivery.tree import MaildirTree
from ..recipients.process import Report
from ..server.listener import bind_tcp
from .keepsake import Keepsake
from .samples import Samples
from .state import State
from .web import Web

KEEP_SECONDS = 5.0
"""So much of what workers did that have ended is lost when this process is killed."""
_LONGEST_SAMPLE = 1 << 20


def run(
    config: Config, tree: MaildirTree, feed: socket.socket, report: Report, keepsake: Keepsake
) -> None:
    """Serve until SIGTERM, or until nobody is left who could tell anything.

    Args:
        config: the settings.
        tree: the store.
        feed: where the samples of the workers come.
        report: writes a line of the log.
        keepsake: what the process before this one knew.

    Raises:
        BindError: the address is not to be had.
    """
    if config.lmtp_status_addr is None:
        raise ValueError("there is no address")
    listener = bind_tcp(*config.lmtp_status_addr)
    samples = _begun(keepsake)
    web = Web(listener, State(config, tree, samples), config.lmtp_hostname, report)
    threading.Thread(target=_take, args=(feed, samples, keepsake), daemon=True).start()
    threading.Thread(target=web.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    _keep(samples, keepsake)


def _begun(keepsake: Keepsake) -> Samples:
    """Where the one before ended, if that can be told."""
    with suppress(ValueError, KeyError, TypeError):
        samples = Samples(time.time, time.monotonic)
        samples.restore(json.loads(keepsake.read() or b"{}"))
        return samples
    return Samples(time.time, time.monotonic)


def _keep(samples: Samples, keepsake: Keepsake) -> None:
    keepsake.write(json.dumps(samples.kept()).encode("ascii"))


def _take(feed: socket.socket, samples: Samples, keepsake: Keepsake) -> None:
    due = time.monotonic() + KEEP_SECONDS
    while True:
        octets = feed.recv(_LONGEST_SAMPLE)
        if not octets:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        # Of another version, perhaps, while one takes the place of the other.
        with suppress(ValueError, KeyError, TypeError):
            samples.take(json.loads(octets))
        if time.monotonic() >= due:
            _keep(samples, keepsake)
            due = time.monotonic() + KEEP_SECONDS
