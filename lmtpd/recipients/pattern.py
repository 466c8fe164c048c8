r"""Patterns: the regular expressions that a table may hold, and no others.

Python's matching can take time that doubles with every letter, and stops the whole process
meanwhile; the administrator writes the pattern, but a stranger writes the address. So what can
explode is refused when the table is read: a repeated group in which something is repeated or left
open (`(a+)+`, `(a|ab)*`), references back, everything that begins with `(?`, more than three
repetitions (the search for a beginning is one, if there is no `^`) and too many alternatives beside
them. Since an address has 256 octets at most, what is left takes some tenths of a second at the
very worst, and some microseconds as people write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_REPEAT_COST = 40
"""As many alternatives cost what one repetition does."""
_MOST_COST = 4 * _REPEAT_COST**3
_DEEPEST = 10

_TOKEN = re.compile(
    r"(?P<escape>\\.)"
    r"|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<special>\(\?)"
    r"|(?P<open>\()|(?P<close>\))|(?P<branch>\|)"
    r"|(?P<repeat>(?:[*+?]|\{[0-9,]*\})[?+]?)"
    r"|(?P<other>.)",
    re.DOTALL,
)


class _Group:
    """What stands between two parentheses, or outside of all."""

    def __init__(self) -> None:
        self.is_open_ended = False
        self.branches = 1


def compile_pattern(text: str, *, is_case_sensitive: bool) -> re.Pattern[str]:
    """The pattern, for `search`.

    Raises:
        ValueError: it is no regular expression, or one that could take too long.
    """
    _check(text)
    try:
        return re.compile(text, 0 if is_case_sensitive else re.IGNORECASE)
    except (re.error, OverflowError) as error:
        raise ValueError(f"/{text}/ is no regular expression: {error}") from error


def _check(text: str) -> None:
    """Refuse what could explode."""
    repeats, branches = 0 if text.startswith("^") else 1, 1
    groups = [_Group()]
    closed: _Group | None = None
    for kind, token in _tokens(text):
        last, closed = closed, None
        match kind:
            case "special":
                raise ValueError(f"/{text}/: (? is not to be used here")
            case "escape" if token[1].isdigit():
                raise ValueError(f"/{text}/: {token} refers back, which can take very long")
            case "open":
                groups.append(_Group())
            case "close" if len(groups) > 1:
                closed = groups.pop()
                branches *= closed.branches
                groups[-1].is_open_ended |= closed.is_open_ended or closed.branches > 1
            case "branch":
                groups[-1].branches += 1
            case "repeat":
                if last and (last.is_open_ended or last.branches > 1):
                    raise ValueError(f"/{text}/: {token} repeats what is not fixed itself")
                repeats += 1
                groups[-1].is_open_ended = True
        if len(groups) > _DEEPEST:
            raise ValueError(f"/{text}/: too many parentheses")
    if branches * groups[0].branches * _REPEAT_COST**repeats > _MOST_COST:
        raise ValueError(f"/{text}/ could take very long: begin it with ^, repeat less")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(text):
        yield match.lastgroup or "", match[0]
