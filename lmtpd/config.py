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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from configobj import ConfigObj, ConfigObjError, DuplicateError

from lmtpd.checks import FAULTS, WARNINGS, Check
from lmtpd.mask import masked
from lmtpd.settings import Config, Setting

__all__ = ["FILE_FORMAT", "Config", "ConfigError", "Setting", "load"]

FILE_FORMAT = """\
The file holds lines `key = value`, in UTF-8. A line that begins with `#` is a comment, and an
unquoted `#` ends a value: where a value needs one, put the value in quotation marks
(`lmtp-recipient-delimiter = "#"`). There are no sections, no lists and no interpolation; a key
stands there once. A relative path is relative to the file's folder; on the command line and in
the environment, to the working directory. `none` or nothing unsets what can be unset."""

_SETTINGS = {row.key: row for row in Config.settings()}
_VARIABLES = {row.variable: row for row in _SETTINGS.values()}

_KEY = re.compile(r"""\s*(["']?)(.*?)\1\s*=""")
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
    given = [
        *(_from_file(file, findings) if file else ()),
        *_from_environment(environment, findings),
        *_from_options(options, findings),
    ]
    config, places = _settle(given, findings)
    _check(FAULTS, config, places, findings.fault)
    _check(WARNINGS, config, places, findings.warn)
    if findings.faults:
        raise ConfigError(findings.in_order())
    return replace(config, warnings=tuple(findings.warnings))


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


def _settle(given: list[_Given], findings: _Findings) -> tuple[Config, dict[str, _Place]]:
    """The last given value of each key, and the place of each key that can be relied on."""
    settled: dict[str, Any] = {}
    places = {key: _Place(3, 0, f"default: {key}") for key in _SETTINGS}
    broken: set[str] = set()
    for one in given:
        try:
            settled[_SETTINGS[one.key].attribute] = one.read()
            places[one.key] = one.place
        except ValueError as error:
            findings.fault(one.place, str(error))
            broken.add(one.key)
    # A check of a broken value against a sound one would only repeat the fault in other words.
    return Config(**settled), {key: places[key] for key in places.keys() - broken}


def _check(
    checks: tuple[Check, ...],
    config: Config,
    places: dict[str, _Place],
    report: Callable[[_Place, str], None],
) -> None:
    """Report what each check says, at the place of its first key; skip it if a key is broken."""
    for check in checks:
        if all(key in places for key in check.keys):
            text = check.says(config)
            if text:
                report(places[check.keys[0]], text)


def _from_file(file: Path, findings: _Findings) -> Iterator[_Given]:
    """What the file gives. Its lines are cleared of what ConfigObj would take in silence."""
    try:
        # Octets that are no UTF-8 become lone surrogates, which `_clear` finds with their line.
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        findings.fault(_Place(0, 0, str(file)), f"cannot be read: {error.strerror}")
        return
    lines = _LINE_END.split(text)
    _clear(file, lines, findings)
    numbers = _numbers_of_keys(lines)
    for key, value in _parsed(file, lines, numbers, findings).items():
        number = numbers.get(key.strip(), 0)
        place = _Place(0, number, f"{file}:{number}: {masked(key)}")
        if key in _SETTINGS:
            yield _Given(key, _unquoted(value), place, file.parent)
        else:
            findings.fault(place, f"no such setting{_did_you_mean(key, _SETTINGS)}")


def _clear(file: Path, lines: list[str], findings: _Findings) -> None:
    """Blank the lines that are faults in themselves, so that the others are still judged."""
    for number, line in enumerate(lines, 1):
        place = _Place(0, number, f"{file}:{number}")
        if re.search("[\ud800-\udfff]", line):
            findings.fault(place, "is not UTF-8")
        elif line.lstrip().startswith("["):
            # Keys behind a section's head would silently not count.
            findings.fault(place, f"there are no sections: remove {masked(line.strip())!r}")
        else:
            continue
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
