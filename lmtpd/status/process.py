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
from .samples import Samples
from .state import State
from .web import Web

_LONGEST_SAMPLE = 1 << 20


def run(config: Config, tree: MaildirTree, feed: socket.socket, report: Report) -> None:
    """Serve until SIGTERM, or until nobody is left who could tell anything.

    Args:
        config: the settings.
        tree: the store.
        feed: where the samples of the workers come.
        report: writes a line of the log.

    Raises:
        BindError: the address is not to be had.
    """
    if config.lmtp_status_addr is None:
        raise ValueError("there is no address")
    listener = bind_tcp(*config.lmtp_status_addr)
    samples = Samples(time.time, time.monotonic)
    web = Web(listener, State(config, tree, samples), config.lmtp_hostname, report)
    threading.Thread(target=_take, args=(feed, samples), daemon=True).start()
    threading.Thread(target=web.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM})


def _take(feed: socket.socket, samples: Samples) -> None:
    while True:
        octets = feed.recv(_LONGEST_SAMPLE)
        if not octets:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        # Of another version, perhaps, while one takes the place of the other.
        with suppress(ValueError, KeyError, TypeError):
            samples.take(json.loads(octets))
