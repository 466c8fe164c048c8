"""Workers: whose they are, what they may have, and on what machine."""

from __future__ import annotations

import resource
import socket

from lmtpd.checks.check import Check
from lmtpd.hostname import is_host_name
from lmtpd.settings import Config
from lmtpd.worker_rights import ids_of

_WORKER_S_LEAST = 1024**2
"""Octets of memory: less would refuse what comes while a few messages are under way."""
_WORKER_S_FILES = 1000
"""Open files beside the connections: the mailboxes of a moment ago, messages, hooks."""


def _no_account(config: Config) -> str:
    try:
        ids = ids_of(config)
    except LookupError as error:
        return str(error)
    return f"{config.lmtp_user} is root, who may do everything" if ids and not ids.uid else ""


def _group_alone(config: Config) -> str:
    alone = config.lmtp_group and not config.lmtp_user
    return "is the group of workers that become lmtp-user: set that too" if alone else ""


def _sandbox_lacking(config: Config) -> str:
    lacking = [str(path) for path in config.lmtp_sandbox_writable if not path.exists()]
    return f"{', '.join(lacking)}: no such file or folder" if lacking else ""


def _little_memory(config: Config) -> str:
    least = config.lmtp_workers * _WORKER_S_LEAST
    if config.lmtp_memory_budget is None or config.lmtp_memory_budget >= least:
        return ""
    return f"is less than 1M for each of the {config.lmtp_workers} workers (lmtp-workers)"


def _few_descriptors(config: Config) -> str:
    _, may_open = resource.getrlimit(resource.RLIMIT_NOFILE)
    if config.lmtp_max_connections is None or may_open == resource.RLIM_INFINITY:
        return ""
    needs = config.lmtp_max_connections // config.lmtp_workers + _WORKER_S_FILES
    if needs <= may_open:
        return ""
    return f"needs {needs} open files in each worker, which may have {may_open}: raise LimitNOFILE"


def _nameless_machine(config: Config) -> str:
    name = socket.gethostname()
    if is_host_name(name) or config.lmtp_hostname != "localhost":
        return ""
    return f"this machine calls itself {name!r}, which is no host name; localhost is used"


FAULTS = (
    Check(("lmtp-user", "lmtp-group"), _no_account),
    Check(("lmtp-group", "lmtp-user"), _group_alone),
    Check(("lmtp-sandbox-writable",), _sandbox_lacking),
    Check(("lmtp-memory-budget", "lmtp-workers"), _little_memory),
)
WARNINGS = (
    Check(("lmtp-hostname",), _nameless_machine),
    Check(("lmtp-max-connections", "lmtp-workers"), _few_descriptors),
)
