"""Opening: the log that the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping

from .forms import FORMS
from .journal import Journal, is_behind
from .log import Log
from .stream import Stream
from .syslog import Syslog
from .target import Target

_STDERR = 2


def open_log(target: str, form: str, environment: Mapping[str, str]) -> Log:
    """A log, before anything is changed that it needs: descriptors, rights, the socket module.

    Args:
        target: a value of `lmtp-log-target`.
        form: a value of `lmtp-log-format`.
        environment: says whether standard error is the journal.
    """
    return Log(open_target(target, form, environment))


def open_target(target: str, form: str, environment: Mapping[str, str]) -> Target:
    """What such a log tells; the arguments are those of `open_log`."""
    lines = FORMS[form]
    if target == "syslog":
        return Syslog(lines)
    if target == "journal" or (target == "auto" and is_behind(_STDERR, environment)):
        return Journal(lines)
    return Stream(_STDERR, lines)
