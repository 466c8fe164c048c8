"""systemd: is our unit loaded, in its newest form, and started when the machine is?

Where another init has booted the machine (sd_booted(3)) there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from .finding import Findings, fail, note, ok, warn
from .programs import ProgramError, said

_BOOTED = Path("/run/systemd/system")
_OURS = Path(__file__).parents[2] / "init" / "lmtpd.service"
"""In the source tree; a package brings its own unit, which is what is loaded."""
_PROPERTIES = (
    *("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "FragmentPath"),
    *("DropInPaths", "Result", "ExecMainStatus", "TriggeredBy"),
)
_ADAPTED = frozenset({"ExecStart", "User", "Group", "ReadWritePaths", "RuntimeDirectory"})
"""Directives that are each machine's own."""
_SHOWN = 8
"""Directives."""
_AT_BOOT = ("enabled", "enabled-runtime", "static", "generated", "linked", "indirect", "alias")


def look(unit: str) -> Findings:
    """The unit as systemd has it."""
    if not _BOOTED.is_dir():
        return
    name = unit if "." in unit else f"{unit}.service"
    shown = said("systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", name)
    found = dict(line.partition("=")[::2] for line in shown.splitlines() if "=" in line)
    yield from judged(name, found)
    paths = [found.get("FragmentPath", ""), *found.get("DropInPaths", "").split()]
    if found.get("LoadState") == "loaded" and name == _OURS.name and _OURS.is_file():
        yield from _compared(name, [Path(path) for path in paths if path])


def user_of(unit: str) -> str:
    """As whom it starts lmtpd; empty if that is root, or cannot be told."""
    if not _BOOTED.is_dir():
        return ""
    try:
        return said("systemctl", "show", "--property=User", "--value", "--", unit).strip()
    except ProgramError:
        return ""


def judged(name: str, found: Mapping[str, str]) -> Findings:
    """What `systemctl show` says of a unit.

    Args:
        name: of the unit.
        found: its properties.
    """
    loaded, state = found.get("LoadState", ""), found.get("ActiveState", "")
    if loaded == "not-found":
        yield warn(
            f"{name} is not there: nothing starts lmtpd when the machine starts",
            f"copy init/lmtpd.service to /etc/systemd/system/, adapt it, then:"
            f" systemctl daemon-reload && systemctl enable --now {name}",
        )
        return
    if loaded != "loaded":
        remedy = (
            f"systemctl unmask {name}" if loaded == "masked" else f"systemd-analyze verify {name}"
        )
        yield fail(f"{name} is {loaded}", remedy)
        return
    if found.get("NeedDaemonReload") == "yes":
        yield warn(
            f"{name} has changed on the disk, and systemd has not read it",
            f"systemctl daemon-reload && systemctl restart {name}",
        )
    if state == "failed":
        why = f"{found.get('Result')}, exit status {found.get('ExecMainStatus')}"
        yield fail(f"{name} has failed: {why}", f"journalctl -u {name} -e")
    elif state != "active":
        yield warn(f"{name} is {state}", f"systemctl start {name}")
    if found.get("UnitFileState") not in _AT_BOOT and not found.get("TriggeredBy"):
        is_what = found.get("UnitFileState") or "of no kind that is enabled"
        yield warn(f"{name} is {is_what}: a boot does not start it", f"systemctl enable {name}")
    elif state == "active":
        yield ok(f"{name} is active, and started by a boot")


def _compared(name: str, paths: list[Path]) -> Findings:
    """Which of our directives the unit does not have, or has otherwise."""
    theirs: set[tuple[str, str]] = set()
    for path in paths:
        theirs |= _directives(path.read_text("utf-8", "replace").splitlines())
    lacking = _directives(_OURS.read_text("utf-8").splitlines()) - theirs
    keys = sorted({key for key, _ in lacking} - _ADAPTED)
    if keys:
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        yield note(
            f"{name} is not as init/lmtpd.service has it: {', '.join(keys[:_SHOWN])}{more}",
            f"if that is an older one: diff {paths[0]} {_OURS}",
        )


def _directives(lines: Iterable[str]) -> set[tuple[str, str]]:
    """Keys and values of the section that says how it runs."""
    found, section = set(), ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            found.add((key.strip(), value.strip()))
    return found
