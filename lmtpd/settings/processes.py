"""Settings: as whom the processes run, and what they may do."""

# ruff: noqa: RUF009 - `setting` is dataclasses.field by another name, and calls nothing early

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmtpd import values
from lmtpd.settings.setting import setting
from lmtpd.values import optional

_PROCESSES = "Processes"


@dataclass(frozen=True)
class ProcessSettings:
    """A part of Config."""

    lmtp_user: str | None = setting(
        "none",
        optional(values.account),
        "User that workers become, with its groups, when lmtpd is started as root: before hooks are"
        " loaded, and behind certificates and keys, which root alone may read. The parent process"
        " stays root, with few capabilities, to bind sockets and to replace workers. `none`:"
        " whoever starts lmtpd.",
        _PROCESSES,
    )
    lmtp_group: str | None = setting(
        "none",
        optional(values.account),
        "Group of `lmtp-user` in the place of the one in its account.",
        _PROCESSES,
    )
    lmtp_sandbox: str = setting(
        "auto",
        values.sandbox,
        "Landlock (Linux 5.19 and later): a worker, its hooks and their programs can write below"
        " `lmtp-maildir-root` and to /dev/null only, choose no TCP port to be reached at, and"
        " signal nobody but themselves, whatever their user may do. `auto`: as far as the kernel"
        " can do it, and the log says what it cannot. `required`: no start without it. `off`: not"
        " at all. A store that is mounted anew gets new workers; for the seconds until then mail is"
        " put off with 451.",
        _PROCESSES,
    )
    lmtp_sandbox_writable: tuple[Path, ...] = setting(
        "none",
        values.paths,
        "Further folders and files, with semicolons between them, that `lmtp-sandbox` lets workers"
        " write to: what hooks of your own need, or with the hook `passwd` the folder of homes,"
        " without which writing is not restricted.",
        _PROCESSES,
    )
    lmtp_pid_file: Path | None = setting(
        "none",
        optional(values.path),
        "File that holds the process id of the parent process while it serves, for those who send"
        " it signals. The parent stays in the foreground, and systemd needs no such file.",
        _PROCESSES,
    )
    lmtp_environment: frozenset[str] = setting(
        "none",
        values.variables,
        "Further variables, with semicolons between their names, that stay in the environment, for"
        " hooks and their programs. Beside them PATH, LANG, LC_*, TZ and those that say where"
        " certificates lie stay; all else is removed.",
        _PROCESSES,
    )
