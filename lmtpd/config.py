"""From the file, the environment and the command line to a Config, the later winning.

Promise: a Config that `load` returns can be served as it stands; otherwise ConfigError names every
fault at once, each with its place, so that nobody repairs a file one line a start. A value that
is overridden is judged as well: the day the option goes, it would stop the start.

This is the only user of ConfigObj. It must not import ssl, nor anything else that gevent has to
patch first: the parent process reads the configuration, and never imports gevent.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from configobj import ConfigObj, ConfigObjError, DuplicateError

from lmtpd.checks import FAULTS, WARNINGS, Check, shares_path, shares_port
from lmtpd.mask import masked
from lmtpd.settings import Config, Setting

__all__ = ["FILE_FORMAT", "Config", "ConfigError", "Setting", "load"]

FILE_FORMAT = """\
The file holds lines `key = value`, in UTF-8. A line that begins with `#` is a comment, and an
unquoted `#` ends a value: where a value needs one, put the value in quotation marks
(`lmtp-recipient-delimiter = "#"`). There are no lists and no interpolation; a key stands there
once. A relative path is relative to the file's folder; on the command line and in the environment,
to the working directory. `none` or nothing unsets what can be unset.

A line `[filter]` begins a section, which is one more listener of that name; the default listener is
what stands above the first section, in the environment and on the command line. A section may hold
the settings of the groups Listening, TLS and Trust, and has the default listener's value of what it
does not hold. Where it listens is its own: `lmtp-socket-path`, or `lmtp-bind-addr`, `lmtp-port` or
both.

Sockets that systemd hands over (sd_listen_fds(3)) belong to the section that is called as their
`FileDescriptorName`, all others to the default listener. A listener that gets one binds none."""

_SETTINGS = {row.key: row for row in Config.settings()}
_IN_SECTIONS = {key: row for key, row in _SETTINGS.items() if row.is_per_listener}
_TCP, _UNIX = ("lmtp-port", "lmtp-bind-addr"), ("lmtp-socket-path",)
_VARIABLES = {row.variable: row for row in _SETTINGS.values()}

_KEY = re.compile(r"""\s*(["']?)(.*?)\1\s*=""")
_HEAD = re.compile(r"\s*\[\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*\]\s*(?:#.*)?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LINE_END = re.compile(r"\r\n|\r|\n")
# What Kubernetes puts into every container beside a service that is named `lmtp`.
_SERVICE_VARIABLE = re.compile(r"LMTP_(?:SERVICE_(?:HOST|PORT)|PORT_[0-9]+_)")
_SERVICE_VALUE = re.compile(r"(?:tcp|udp|sctp)://")


class ConfigError(Exception):
    """The configuration cannot be served; `faults` has a line for each reason."""

    def __init__(self, faults: Iterable[str]) -> None:
        """Each fault with its place."""
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def load(file: Path | None, environment: Mapping[str, str], options: Mapping[str, str]) -> Config:
    """The configuration; `options` are keys as in the file, without their hyphens in front.

    Raises:
        ConfigError: names every fault of every source.
    """
    findings = _Findings()
    first, *sections = _from_file(file, findings) if file else [_Part()]
    given = [
        *first.given,
        *_from_environment(environment, findings),
        *_from_options(options, findings),
    ]
    default = _settled(given, findings)
    scopes = [default, *(_settled_in_section(part, default, findings) for part in sections)]
    _find_common_places(scopes, findings)
    for scope in scopes:
        _check(FAULTS, scope, findings.fault)
        _check(WARNINGS, scope, findings.warn)
    if findings.faults:
        raise ConfigError(findings.in_order())
    return replace(
        default.config,
        sections=tuple(scope.config for scope in scopes[1:]),
        warnings=tuple(findings.warnings),
    )


class _Place(NamedTuple):
    """Where a value stood; sorts as an administrator reads: file by lines, then the rest."""

    rank: int
    line: int
    label: str


class _Given(NamedTuple):
    """A text that was given for a setting; `folder` anchors a relative path."""

    key: str
    text: str
    place: _Place
    folder: Path

    def read(self) -> object:
        """Its value. Raises ValueError in the administrator's words."""
        text = self.text.strip()
        found = _CONTROL.search(text)
        if found:
            # Triple quotes go over lines: a missing one would swallow the settings below.
            raise ValueError(f"has a line break or control character in it ({found[0]!r})")
        return self._anchored(self._parsed(text))

    def _anchored(self, value: object) -> object:
        """A path as it is meant, and so each path of several."""
        if isinstance(value, tuple):
            return tuple(map(self._anchored, value))
        return (self.folder / value).absolute() if isinstance(value, Path) else value

    def _parsed(self, text: str) -> object:
        """Its value. An error speaks of the text without a secret, having seen no other."""
        shown = masked(text)
        try:
            return _SETTINGS[self.key].parse(text)
        except ValueError:
            if shown == text:
                raise
        _SETTINGS[self.key].parse(shown)
        raise ValueError(f"{shown!r} is no value here")


class _Part(NamedTuple):
    """What the file gives for one listener: in a section, or above them all."""

    name: str = ""
    head: _Place = _Place(0, 0, "")
    given: tuple[_Given, ...] = ()
    keys: Set[str] = frozenset()
    """With those of lines that cannot be read."""


class _Scope(NamedTuple):
    """A listener's configuration; `places` are of the keys that can be relied on."""

    config: Config
    places: dict[str, _Place]
    own: Set[str]
    """The keys that are not another listener's."""

    def place_of(self, keys: tuple[str, ...]) -> _Place:
        """Of the first of them that is its own."""
        return next(self.places[key] for key in keys if key in self.own)


class _Findings:
    """The faults and warnings met on the way."""

    def __init__(self) -> None:
        self.faults: list[tuple[_Place, str]] = []
        self.warnings: list[str] = []

    def fault(self, place: _Place, text: str) -> None:
        self.faults.append((place, text))

    def warn(self, place: _Place, text: str) -> None:
        self.warnings.append(f"{place.label}: {text}")

    def in_order(self) -> Iterator[str]:
        return (f"{place.label}: {text}" for place, text in sorted(self.faults))


def _settled(given: list[_Given], findings: _Findings) -> _Scope:
    """The default listener: the last given value of each key."""
    values, places, broken = _read(given, findings)
    defaults = {key: _Place(3, 0, f"default: {key}") for key in _SETTINGS}
    return _Scope(Config(**values), _sound(defaults | places, broken), _SETTINGS.keys())


def _settled_in_section(part: _Part, default: _Scope, findings: _Findings) -> _Scope:
    """The listener of a section: what is its own, and the rest of the default listener's."""
    values, places, broken = _read(part.given, findings)
    own = {one.key for one in part.given}
    if own.isdisjoint(_TCP):
        values["lmtp_bind_addr"] = ""
    values.setdefault("lmtp_socket_path", None)
    config = replace(default.config, section=part.name, **values)
    scope = _Scope(config, _sound(default.places | places, broken), own)
    if part.name and part.keys.isdisjoint(_TCP + _UNIX):
        findings.fault(
            part.head,
            "listens nowhere: set lmtp-bind-addr, lmtp-port or lmtp-socket-path"
            " (lmtp-bind-addr = none if systemd hands over its socket)",
        )
    elif "lmtp-port" in own and {*_TCP} <= scope.places.keys() and not config.lmtp_bind_addr:
        findings.fault(scope.places["lmtp-port"], "needs an address: set lmtp-bind-addr")
    return scope


def _read(
    given: Iterable[_Given], findings: _Findings
) -> tuple[dict[str, Any], dict[str, _Place], set[str]]:
    """Values by their attributes, places by their keys, and the keys whose value is none."""
    values: dict[str, Any] = {}
    places: dict[str, _Place] = {}
    broken: set[str] = set()
    for one in given:
        try:
            values[_SETTINGS[one.key].attribute] = one.read()
            places[one.key] = one.place
        except ValueError as error:
            findings.fault(one.place, str(error))
            broken.add(one.key)
    return values, places, broken


def _sound(places: dict[str, _Place], broken: set[str]) -> dict[str, _Place]:
    """A check of a broken value against a sound one would only repeat the fault in other words."""
    return {key: place for key, place in places.items() if key not in broken}


def _check(checks: tuple[Check, ...], scope: _Scope, report: Callable[[_Place, str], None]) -> None:
    """Report what each check says, at the place of its first key; skip it if a key is broken.

    What a section has of the default listener is looked at there, and not again.
    """
    for check in checks:
        if scope.own.isdisjoint(check.keys) or not scope.places.keys() >= {*check.keys}:
            continue
        text = check.says(scope.config)
        if text:
            is_own = check.keys[0] in scope.own
            report(
                scope.places[check.keys[0]],
                text if is_own else f"in [{scope.config.section}]: {text}",
            )


def _find_common_places(scopes: list[_Scope], findings: _Findings) -> None:
    """Two listeners cannot be at one place: the later is at fault."""
    for earlier, later in combinations(scopes, 2):
        for keys, is_shared in ((_TCP, shares_port), (_UNIX, shares_path)):
            is_sound = {*keys} <= earlier.places.keys() & later.places.keys()
            if is_sound and is_shared(earlier.config, later.config):
                label = earlier.place_of(keys).label
                text = f"another listener is there already ({label})"
                findings.fault(later.place_of(keys), text)


def _from_file(file: Path, findings: _Findings) -> list[_Part]:
    """What the file gives. Its lines are cleared of what ConfigObj would take in silence."""
    try:
        # Octets that are no UTF-8 become lone surrogates, which `_clear` finds with their line.
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        findings.fault(_Place(0, 0, str(file)), f"cannot be read: {error.strerror}")
        return [_Part()]
    lines = _LINE_END.split(text)
    _clear(file, lines, findings)
    heads = [number for number, line in enumerate(lines) if line.lstrip().startswith("[")]
    bounds = [*heads, len(lines)]
    parts = [_Part(given=_given(file, lines[: bounds[0]], _SETTINGS, findings))]
    begun: dict[str, int] = {}
    for number, end in pairwise(bounds):
        name, place = _name(file, number + 1, lines[number], begun, findings)
        # Its lines keep their numbers.
        block = [""] * (number + 1) + lines[number + 1 : end]
        given = _given(file, block, _IN_SECTIONS, findings)
        parts.append(_Part(name, place, given, _numbers_of_keys(block).keys()))
    return parts


def _name(
    file: Path, number: int, head: str, begun: dict[str, int], findings: _Findings
) -> tuple[str, _Place]:
    """What a section is called, and its place; no name where there is a fault."""
    shown = masked(head.strip())
    place = _Place(0, number, f"{file}:{number}")
    match = _HEAD.fullmatch(head)
    if match is None:
        is_inner = head.lstrip().startswith("[[")
        text = "no section is inside another" if is_inner else "a section begins like [filter]"
        findings.fault(place, f"{text}, not like {shown!r}")
    elif match[1] in begun:
        findings.fault(place, f"{shown} is begun already in line {begun[match[1]]}")
    else:
        begun[match[1]] = number
        return match[1], _Place(0, number, f"{file}:{number}: {shown}")
    return "", place


def _given(
    file: Path, lines: list[str], known: Mapping[str, Setting], findings: _Findings
) -> tuple[_Given, ...]:
    """The settings of one part of the file, of which some are known there."""
    given = []
    numbers = _numbers_of_keys(lines)
    for key, value in _parsed(file, lines, numbers, findings).items():
        number = numbers.get(key.strip(), 0)
        place = _Place(0, number, f"{file}:{number}: {masked(key)}")
        if key in known:
            given.append(_Given(key, _unquoted(value), place, file.parent))
        elif key in _SETTINGS:
            findings.fault(place, "is for all listeners at once: set it above the first section")
        else:
            findings.fault(place, f"no such setting{_did_you_mean(key, known)}")
    return tuple(given)


def _clear(file: Path, lines: list[str], findings: _Findings) -> None:
    """Blank the lines that are faults in themselves, so that the others are still judged."""
    for number, line in enumerate(lines, 1):
        if re.search("[\ud800-\udfff]", line):
            findings.fault(_Place(0, number, f"{file}:{number}"), "is not UTF-8")
            lines[number - 1] = ""


def _numbers_of_keys(lines: list[str]) -> dict[str, int]:
    """The line in which each key stands first: ConfigObj tells lines of errors only."""
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        match = _KEY.match(line)
        if match:
            numbers.setdefault(match[2], number)
    return numbers


def _parsed(
    file: Path, lines: list[str], numbers: dict[str, int], findings: _Findings
) -> dict[str, str]:
    """The keys and texts that ConfigObj finds; its errors become faults."""
    try:
        found = ConfigObj(lines, interpolation=False, list_values=False)
    except ConfigObjError as error:
        found = error.config
        for each in error.errors:
            place = _Place(0, each.line_number, f"{file}:{each.line_number}")
            findings.fault(place, _syntax_fault(each, numbers))
    return {key: found[key] for key in found.scalars}


def _syntax_fault(error: ConfigObjError, numbers: dict[str, int]) -> str:
    """ConfigObj's error in the words of this file's format."""
    match = _KEY.match(error.line)
    if match is None:
        return f"{masked(error.line.strip())!r} is neither 'key = value' nor a comment"
    if isinstance(error, DuplicateError):
        return f"{masked(match[2])}: is already set in line {numbers[match[2]]}"
    return f"{masked(match[2])}: a quotation mark has no partner"


def _unquoted(value: str) -> str:
    """ConfigObj leaves the quotation marks in place where lists are off."""
    is_quoted = value[:1] in ("'", '"') and value[0] == value[-1]
    return value[1:-1] if is_quoted else value


def _from_environment(environment: Mapping[str, str], findings: _Findings) -> Iterator[_Given]:
    """What variables give. A foreign LMTP_ variable is no fault: others may have set it."""
    for name in sorted(name for name in environment if name.startswith("LMTP_")):
        place, text = _Place(1, 0, f"environment: {name}"), environment[name]
        if _SERVICE_VARIABLE.match(name):
            continue
        if name not in _VARIABLES:
            findings.warn(place, f"no such setting, ignored{_did_you_mean(name, _VARIABLES)}")
        elif _SERVICE_VALUE.match(text):
            # A service named `lmtp` makes LMTP_PORT=tcp://10.0.0.1:11200; stopping for that
            # would keep the server from starting beside its own service.
            findings.warn(
                place, f"{masked(text)!r} looks like a service link of Kubernetes, ignored"
            )
        else:
            yield _Given(_VARIABLES[name].key, text, place, Path())


def _from_options(options: Mapping[str, str], findings: _Findings) -> Iterator[_Given]:
    """What the command line gives."""
    for key, text in options.items():
        place = _Place(2, 0, f"command line: --{masked(key)}")
        if key in _SETTINGS:
            yield _Given(key, text, place, Path())
        else:
            findings.fault(place, f"no such setting{_did_you_mean(key, _SETTINGS)}")


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    """The closest of the known words; `LMTP_PORT` in a file means lmtp-port."""
    plain = {name.lower().replace("_", "-"): name for name in known}
    close = difflib.get_close_matches(word.lower().replace("_", "-"), plain, n=1)
    return f"; did you mean {plain[close[0]]}?" if close else ""
