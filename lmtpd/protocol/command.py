"""One line of bytes becomes one command, or the reply that it deserves.

Only what stands in the line counts here; whether the command comes in its turn is the dialogue's
affair. A parameter is known only when its extension is announced (RFC 5321 4.1.1.11).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from . import events, replies
from .address import Address, AddressError, without_source_route
from .envelope import BodyType
from .extensions import Extensions
from .limits import Limits
from .reply import Reply


@dataclass(frozen=True, slots=True)
class Bdat:
    """BDAT (RFC 3030 2): so many octets follow, whatever the reply will be."""

    size: int
    is_last: bool
    is_malformed: bool = False
    """The number can be read, so the octets can be swallowed, but the rest of the line is wrong."""


class UnboundedChunkError(ValueError):
    """A BDAT whose number cannot be read: nobody knows where the next command begins."""


# The path with quoted strings in it, which may hold `>`; and, for a sender that is not well-formed,
# whatever stands between the brackets.
_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^"<>])*)>(?: +(.*))?')
_LOOSE_PATH = re.compile(r"<([^>]*)>(?: +(.*))?")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^= ]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~\u0080-\U0010ffff]|\+[0-9A-F]{2})+")
# A number that goes on (0x10, 1_0, 1e3) is another one to somebody else, so its end is nobody's.
_BDAT = re.compile(r"([0-9]+)(| .*)")
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_XFORWARD_NAMES = frozenset({"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"})
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*", re.I | re.A)

Parameters = Mapping[str, str | None]


class _Deserves(Exception):  # noqa: N818 - not an error of ours: the reply for a line of the client
    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


_HTTP = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "HOST:"}
)
"""How the first lines of an HTTP request begin (RFC 9110 9.3)."""

KNOWN_LINES = 1000
"""A command that comes again, a bare DATA or one for a busy recipient, is not read again."""
_KNOWN_OCTETS = 512
"""Of a line that is worth it (RFC 5321 4.5.3.1.4): a stranger's long ones would fill megabytes."""


class CommandParser:
    """Reads lines under one set of limits and announced extensions."""

    @classmethod
    @functools.lru_cache(maxsize=4)
    def under(cls, limits: Limits, extensions: Extensions) -> CommandParser:
        """The one that all connections under these rules share, with what it knows by heart."""
        return cls(limits, extensions)

    def __init__(self, limits: Limits, extensions: Extensions) -> None:
        self._limits = limits
        self._extensions = extensions
        plain: dict[str, Callable[[], events.Command]] = {
            "DATA": events.Data,
            "RSET": events.Reset,
            "QUIT": events.Quit,
            "STARTTLS": events.StartTls,
        }
        self._plain = plain
        self._known = functools.lru_cache(KNOWN_LINES)(self._read)

    def parse(self, line: bytes, *, smtputf8: bool) -> events.Command | Bdat:
        """Read one line, less its CR LF.

        Args:
            line: what the client sent.
            smtputf8: the open transaction asked for SMTPUTF8, so RCPT may go beyond ASCII.

        Raises:
            UnboundedChunkError: BDAT without a number.
        """
        read = self._known if len(line) <= _KNOWN_OCTETS else self._read
        return read(line, smtputf8)

    def _read(self, line: bytes, smtputf8: bool) -> events.Command | Bdat:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if _NOT_PRINTABLE.search(text):
            return events.Refused(replies.BAD_OCTETS)
        verb, _, argument = text.rstrip(" ").partition(" ")
        try:
            return self._command(_upper(verb), argument.strip(" "), smtputf8)
        except _Deserves as deserved:
            return events.Refused(deserved.reply)

    def _command(self, verb: str, argument: str, smtputf8: bool) -> events.Command | Bdat:
        match verb:
            case "MAIL":
                return self._mail(argument)
            case "RCPT":
                return self._rcpt(argument, smtputf8)
            case "BDAT":
                return self._bdat(argument)
            case "LHLO":
                return self._hello(argument)
            case "HELO" | "EHLO":  # RFC 2033 4.1: never a positive reply
                raise _Deserves(replies.HELLO_IS_LHLO)
            case "NOOP":
                return events.Noop()
            case "HELP":
                return events.Help()
            case "VRFY":
                return events.Verify(_named_address(argument)[0])
            case "EXPN":
                return events.Expand(*_named_address(argument))
            case "XFORWARD" if self._extensions.xforward:
                return _xforward(argument)
            case _ if verb in _HTTP:
                # A web page makes the browser of somebody who may connect say what it likes: the
                # body of its request must not be run (cross-protocol requests, ALPACA of 2021).
                raise _Deserves(replies.NOT_HTTP)
            case _ if verb in self._plain:
                _require(not argument, replies.BAD_SYNTAX)
                return self._plain[verb]()
            case _:
                raise _Deserves(replies.UNKNOWN_COMMAND)

    def _hello(self, argument: str) -> events.Hello:
        # For the trace header only: a wrong name is no reason to refuse (RFC 5321 4.1.4).
        is_name = bool(argument) and argument.isascii() and " " not in argument
        _require(is_name and len(argument) <= self._limits.hello_octets, replies.BAD_SYNTAX)
        return events.Hello(argument)

    def _mail(self, argument: str) -> events.MailFrom:
        path, parameters = _path_and_parameters("FROM:", argument, _PATH, _LOOSE_PATH)
        known = ("SIZE", "BODY", "SMTPUTF8", *(("RET", "ENVID") if self._extensions.dsn else ()))
        _require_known(parameters, known)
        smtputf8 = "SMTPUTF8" in parameters
        if smtputf8:
            _require(parameters["SMTPUTF8"] is None, replies.BAD_SYNTAX)
        _require(smtputf8 or path.isascii(), replies.SENDER_NEEDS_SMTPUTF8)
        if "RET" in parameters:
            _require(_upper(parameters["RET"] or "") in ("FULL", "HDRS"), replies.BAD_SYNTAX)
        if "ENVID" in parameters:
            _xtext(parameters["ENVID"])
        size = self._size(parameters)
        return events.MailFrom(_reverse_path(path), _body_type(parameters), smtputf8, size)

    def _size(self, parameters: Parameters) -> int:
        """SIZE is checked before a single octet is sent (RFC 1870 6.1)."""
        if "SIZE" not in parameters:
            return 0
        size = self._number(parameters["SIZE"] or "")
        _require(size <= self._limits.message_octets, replies.TOO_LARGE)
        return size

    def _number(self, digits: str) -> int:
        """Digits of ASCII alone: int() takes `1_000`, `+1` and digits of other scripts too."""
        is_number = digits.isascii() and digits.isdigit()
        _require(is_number and len(digits) <= self._limits.chunk_digits, replies.BAD_SYNTAX)
        return int(digits)

    def _rcpt(self, argument: str, smtputf8: bool) -> events.RcptTo:
        path, parameters = _path_and_parameters("TO:", argument, _PATH)
        _require_known(parameters, ("NOTIFY", "ORCPT") if self._extensions.dsn else ())
        if "NOTIFY" in parameters:
            _require(_NOTIFY.fullmatch(parameters["NOTIFY"] or ""), replies.BAD_SYNTAX)
        original = _xtext(parameters["ORCPT"]) if "ORCPT" in parameters else ""
        _require(smtputf8 or path.isascii(), replies.RECIPIENT_NEEDS_SMTPUTF8)
        return events.RcptTo(_address(path), original)

    def _bdat(self, argument: str) -> Bdat:
        number = _BDAT.fullmatch(argument)
        if not number or len(number[1]) > self._limits.chunk_digits:
            raise UnboundedChunkError(argument)
        end = _upper(number[2])
        return Bdat(int(number[1]), is_last=end == " LAST", is_malformed=end not in ("", " LAST"))


def _upper(text: str) -> str:
    """Upper case of ASCII alone: str.upper() makes an S of the long s, and RSET of another word."""
    return text.upper() if text.isascii() else text


def _require(condition: object, reply: Reply) -> None:
    if not condition:
        raise _Deserves(reply)


def _require_known(parameters: Iterable[str], known: tuple[str, ...]) -> None:
    _require(all(name in known for name in parameters), replies.UNKNOWN_PARAMETER)


def _path_and_parameters(
    keyword: str, argument: str, *patterns: re.Pattern[str]
) -> tuple[str, Parameters]:
    """`FROM:<path> NAME=value ...`; a space behind the colon is a common fault and does no harm."""
    _require(_upper(argument[: len(keyword)]) == keyword, replies.BAD_SYNTAX)
    rest = argument[len(keyword) :].lstrip(" ")
    for pattern in patterns:
        found = pattern.fullmatch(rest)
        if found:
            return found[1], _parameters(found[2] or "")
    raise _Deserves(replies.BAD_SENDER if keyword == "FROM:" else replies.BAD_RECIPIENT)


def _parameters(text: str) -> Parameters:
    parameters: dict[str, str | None] = {}
    for word in filter(None, text.split(" ")):
        parameter = _PARAMETER.fullmatch(word)
        if not parameter or parameter[1].upper() in parameters:
            raise _Deserves(replies.BAD_SYNTAX)
        parameters[parameter[1].upper()] = parameter[2]
    return parameters


def _body_type(parameters: Parameters) -> BodyType:
    if "BODY" not in parameters:
        return BodyType.SEVEN_BIT
    try:
        return BodyType(_upper(parameters["BODY"] or ""))
    except ValueError:
        raise _Deserves(replies.BAD_SYNTAX) from None


def _reverse_path(path: str) -> str:
    """A sender that is not well-formed is taken as it stands: the MTA has accepted the message

    already, and a refusal would be a bounce to nobody.
    """
    try:
        return str(Address.parse(path)) if path else ""
    except AddressError:
        return without_source_route(path) or path  # never the null path by mistake


def _address(path: str) -> Address:
    try:
        return Address.parse(path)
    except AddressError:
        raise _Deserves(replies.BAD_RECIPIENT) from None


def _named_address(argument: str) -> tuple[Address, bool]:
    """What VRFY and EXPN name, with or without brackets, and whether the reply may go beyond ASCII

    (RFC 5321 3.5.1, RFC 6531 3.7.4.2).
    """
    _require(argument, replies.BAD_SYNTAX)
    words = argument.rsplit(" ", 1)
    has_keyword = len(words) == 2 and _upper(words[1]) == "SMTPUTF8"
    name = words[0] if has_keyword else argument
    _require(has_keyword or name.isascii(), replies.RECIPIENT_NEEDS_SMTPUTF8)
    bare = name[1:-1] if name.startswith("<") and name.endswith(">") else name
    return _address(bare), has_keyword


def _xforward(argument: str) -> events.XForward:
    parameters = _parameters(argument)
    is_known = bool(parameters) and _XFORWARD_NAMES.issuperset(parameters)
    _require(is_known and len(argument) <= 512, replies.BAD_SYNTAX)
    return events.XForward({name: _xtext(value) for name, value in parameters.items()})


def _xtext(value: str | None) -> str:
    """Undo RFC 3461 4's `+2B`. A line break in there would inject a header field or a log line."""
    if value is None or not _XTEXT.fullmatch(value):
        raise _Deserves(replies.BAD_SYNTAX)
    octets = re.sub(
        rb"\+([0-9A-F]{2})", lambda code: bytes([int(code[1], 16)]), value.encode("utf-8")
    )
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise _Deserves(replies.BAD_SYNTAX) from None
    _require(not _NOT_PRINTABLE.search(text), replies.BAD_SYNTAX)
    return text
