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
    return Log(_target(target, form, environment))


def _target(target: str, form: str, environment: Mapping[str, str]) -> Target:
    lines = FORMS[form]
    if target == "syslog":
        return Syslog(lines)
    if target == "journal" or (target == "auto" and is_behind(_STDERR, environment)):
        return Journal(lines)
    return Stream(_STDERR, lines)
