"""Confinement: what is taken from the parent and from each worker, in which order.

    parent    environment, umask, no core, no_new_privs, all capabilities but a few
    worker    certificates and keys are read; then the user, all capabilities, Landlock;
              then only hooks, which are foreign code, threads, and the first octet of a peer

As nginx's and Postfix's the parent stays root where it was that and `lmtp-user` is set. It reads no
octet of a peer and loads no hook; and whoever renews a certificate or replaces a worker has to read
a key that is root's. Its own capabilities are those in `_OF_PARENT`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..config import Config, ConfigError
from ..environment import scrub
from ..failures import told
from ..worker_rights import ids_of
from . import landlock, privileges
from .privileges import Capability

_MASK = 0o077
_OF_PARENT = frozenset(
    {
        Capability.SETUID,  # to start workers, which become lmtp-user
        Capability.SETGID,
        Capability.SETPCAP,  # so that those can have none ever after
        Capability.KILL,  # they are another user's then
        Capability.NET_BIND_SERVICE,  # a port below 1024
        Capability.DAC_OVERRIDE,  # a key or a socket in a folder that is closed to root as well
        Capability.CHOWN,  # to give a socket away
        Capability.FOWNER,  # to take one away that a dead server has left, and was given away
    }
)
_OF_HOMES = frozenset({Capability.SETUID, Capability.SETGID})
"""The hook passwd delivers with each user's rights; see lmtpd.delivery.rights."""


def confine_parent(config: Config) -> Iterator[str]:
    """Before anything is forked or bound.

    Returns:
        What cannot be done, for the operator.

    Raises:
        ConfigError: it cannot be done, and was asked for.
    """
    scrub(os.environ, config.lmtp_environment)
    os.umask(_MASK)
    try:
        privileges.refuse_more()
        if not _stays_root(config):
            privileges.hold(_OF_PARENT)
        privileges.hide_memory()
    except OSError as error:
        raise ConfigError([f"lmtpd cannot give up what it may do: {told(error)}"]) from error
    if config.lmtp_sandbox == "required" and _sandbox_lacks(config):
        raise ConfigError([f"lmtp-sandbox: required, and {_sandbox_lacks(config)}"])
    return _shortcomings(config)


class Places:
    """What may be written to. Landlock knows folders and not their names."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """As they are now; one that is not there is an OSError."""
        self._found = {path: _Folder.at(path) for path in paths}
        # Held for ever, so that no other file system gets the same number meanwhile.
        self._held = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in self._found]

    def have_moved(self) -> bool:
        """Whether another file system was mounted over one, say; it waits for the disk.

        One that was unmounted is waited for: until then there is nowhere to write.
        """
        return any(_has_moved(path, found) for path, found in self._found.items())


class _Folder(NamedTuple):
    identity: tuple[int, int]
    is_mount_point: bool

    @classmethod
    def at(cls, path: Path) -> _Folder:
        # By name: a home need not let us in, where ".." would be looked up.
        status, above = path.stat(), path.resolve().parent.stat()
        is_mount_point = path.is_dir() and above.st_dev != status.st_dev
        return cls((status.st_dev, status.st_ino), is_mount_point)


def _has_moved(path: Path, found: _Folder) -> bool:
    try:
        now = _Folder.at(path)
    except OSError:
        return False
    return now.identity != found.identity and now.is_mount_point >= found.is_mount_point


def confine_worker(config: Config) -> Places | None:
    """When certificates are read, before hooks are loaded and before there is a second thread.

    Returns:
        Where it can write, if that is not everywhere.

    Raises:
        ConfigError: it cannot be done.
    """
    become_worker(config)
    if config.lmtp_sandbox == "off" or not landlock.abi():
        return None
    paths = (config.lmtp_maildir_root, *config.lmtp_sandbox_writable)
    try:
        if _sandbox_lacks(config):
            landlock.restrict(None)
            return None
        places = Places(paths)
        landlock.restrict((*paths, Path(os.devnull)))
    except OSError as error:
        raise ConfigError([f"lmtp-sandbox: {told(error)}; it can be off"]) from error
    return places


def act_as_worker(config: Config) -> None:
    """For commands: what hooks do and mailboxes belong to shall be as in the server.

    Raises:
        ConfigError: it cannot be done.
    """
    scrub(os.environ, config.lmtp_environment)
    become_worker(config)


def become_worker(config: Config) -> None:
    """Take the rights of a worker, for good.

    Raises:
        ConfigError: it cannot be done.
    """
    if _stays_root(config):
        return
    kept = _OF_HOMES if "passwd" in config.lmtp_recipient_hooks else frozenset()
    ids = ids_of(config)
    try:
        if ids and os.geteuid() == 0:
            privileges.become(ids, kept)
        else:
            privileges.hold(kept)
        privileges.hide_memory()
    except OSError as error:
        fault = f"lmtp-user: cannot become {config.lmtp_user}: {told(error)}"
        raise ConfigError([fault]) from error


def _stays_root(config: Config) -> bool:
    return os.geteuid() == 0 and config.lmtp_user is None


def _sandbox_lacks(config: Config) -> str:
    """Why writing cannot be restricted; empty if it can."""
    version = landlock.abi()
    if not version:
        return "this kernel has no Landlock, or it is switched off (lsm=)"
    if version < landlock.LEAST_ABI:
        return "this kernel's Landlock is too old: Linux 5.19 is needed"
    if "passwd" in config.lmtp_recipient_hooks and not config.lmtp_sandbox_writable:
        return "the hook passwd writes in homes: name their folder in lmtp-sandbox-writable"
    return ""


def _shortcomings(config: Config) -> Iterator[str]:
    ids, ours = ids_of(config), os.geteuid()
    if _stays_root(config):
        yield "all of lmtpd runs as root, hooks too: set lmtp-user"
    elif ids and ours not in (0, ids.uid):
        yield f"lmtp-user: only root could become {config.lmtp_user}; lmtpd goes on as user {ours}"
    lacks = _sandbox_lacks(config)
    if config.lmtp_sandbox == "auto" and lacks:
        yield f"lmtp-sandbox: workers can write wherever their user may: {lacks}"
