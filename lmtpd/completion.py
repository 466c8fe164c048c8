"""Completion in the shell: a script for bash, zsh or fish, printed from the parser itself.

A script is static: it asks lmtpd nothing when a key is pressed. A level is where the words so far
have led: "" at first, then "mailbox", then "mailbox add".
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from .bridge.command import SHAPES

_BASH = """\
# Completion of lmtpd in bash: source <(lmtpd completion bash)
_lmtpd() {
    local shared='@shared@'
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local level='' words='' options='' i
    # bash makes three words of --option=value.
    if [[ $cur == '=' ]]; then
        cur=''
    elif [[ $prev == '=' ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${level:+$level }${COMP_WORDS[i]}" in
            @steps@) level="${level:+$level }${COMP_WORDS[i]}" ;;
        esac
    done
    case $level in
@levels@
    esac
    case "$level $prev" in
        @files@)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return ;;
@choices@
        @values@) words='' ;;
        *) if [[ $cur == -* ]]; then words=$options; fi ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _lmtpd lmtpd lmtpd.py
"""

_ZSH = """\
#compdef lmtpd lmtpd.py
# Completion of lmtpd in zsh: source <(lmtpd completion zsh), or this as _lmtpd on $fpath
_lmtpd() {
    local level='' previous=${words[CURRENT - 1]} i
    local -a commands options shared
    shared=(@shared@)
    if [[ $PREFIX == --*=* ]]; then
        previous=${PREFIX%%=*}
        compset -P 1 '*='
    fi
    for ((i = 2; i < CURRENT; i++)); do
        case "${level:+$level }${words[i]}" in
            @steps@) level="${level:+$level }${words[i]}" ;;
        esac
    done
    case $level in
@levels@
    esac
    case "$level $previous" in
        @files@) _files ;;
@choices@
        @values@) _message value ;;
        *)
            if [[ $PREFIX == -* ]]; then
                _describe -o option options
            else
                _describe command commands
            fi ;;
    esac
}
if [[ ${funcstack[1]} == _lmtpd ]]; then _lmtpd "$@"; else compdef _lmtpd lmtpd lmtpd.py; fi
"""

_FISH = """\
# Completion of lmtpd in fish: lmtpd completion fish | source
function __lmtpd_at -d 'Have the words so far led to one of these levels?'
    set -l level ''
    for word in (commandline -opc)[2..-1]
        set -l next (string trim -- "$level $word")
        contains -- $next @steps@; and set level $next
    end
    contains -- "$level" $argv
end
complete -c lmtpd -f
complete -c lmtpd.py -w lmtpd
@lines@
"""

_FILES = ("FILE", "FOLDER", "PATH", "PATHS")
_SWITCH = ("true", "false")


@dataclass(frozen=True)
class Option:
    """One option; `values` are the words it takes: None if it takes none, empty if any."""

    name: str
    meaning: str
    values: tuple[str, ...] | None
    is_file: bool = False


@dataclass(frozen=True)
class Level:
    """What can follow the words so far."""

    words: Mapping[str, str]
    """Commands, or values of an argument, each with its meaning."""
    options: tuple[Option, ...]


Levels = Mapping[str, Level]


def levels(parser: argparse.ArgumentParser) -> Levels:
    """Every level of the command line, the first being "". The bridge has a parser of its own."""
    found = dict(_levels(parser, ""))
    top = found[""]
    words = {**top.words, "bridge": "for MTAs and mail programs that do not speak LMTP over TCP"}
    found[""] = Level(words, top.options)
    found["bridge"] = Level(dict.fromkeys(SHAPES, ""), ())
    for shape, (_, long) in SHAPES.items():
        options = (Option(f"--{name.rstrip('=')}", "", (), name.endswith("path=")) for name in long)
        found[f"bridge {shape}"] = Level({}, tuple(options))
    return found


def script(shell: str, known: Levels) -> str:
    """The script for one of SHELLS."""
    return SHELLS[shell](known)


def _levels(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, Level]]:
    # argparse has no other way to ask what a parser knows; argcomplete and shtab go the same.
    actions = parser._actions  # noqa: SLF001
    words: dict[str, str] = {}
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            meanings = {one.dest: one.help for one in action._choices_actions}  # noqa: SLF001
            for word, inner in action.choices.items():
                words[word] = _first_sentence(meanings.get(word))
                yield from _levels(inner, f"{name} {word}".strip())
        elif not action.option_strings:
            words.update(dict.fromkeys(map(str, action.choices or ()), ""))
    yield name, Level(words, tuple(_option(action) for action in actions if action.option_strings))


def _option(action: argparse.Action) -> Option:
    values: tuple[str, ...] | None = tuple(map(str, action.choices or ()))
    if action.nargs == 0:
        values = None
    elif action.metavar == "SWITCH":
        values = _SWITCH
    meaning = _first_sentence(action.help)
    return Option(action.option_strings[-1], meaning, values, action.metavar in _FILES)


def _first_sentence(text: str | None) -> str:
    """Of a help text; menus have room for no more."""
    plain = (text or "").replace("%%", "%").replace("`", "").partition(" Default: ")[0]
    return re.split(r"[.;:] |\.$", plain)[0]


def _shared(known: Levels) -> tuple[Option, ...]:
    """The settings: what the server's command line takes with every command, and without."""
    return tuple(one for one in known[""].options if one in known["serve"].options)


def _is_settled(known: Levels, name: str) -> bool:
    """Whether a level takes the settings."""
    return set(_shared(known)) <= set(known[name].options)


def _own(known: Levels, name: str) -> tuple[Option, ...]:
    """What a level takes besides the settings."""
    left_out = _shared(known) if _is_settled(known, name) else ()
    return tuple(one for one in known[name].options if one not in left_out)


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """Braces, dollars and percent signs are the shells' own, hence at signs."""
    for name, text in parts.items():
        template = template.replace(f"@{name}@", text)
    return template


def _patterns(known: Levels, wanted: Callable[[Option], bool]) -> str:
    """`case` patterns for "LEVEL OPTION", for two commands may mean two things by one option."""
    found = [f"*{shlex.quote(f' {one.name}')}" for one in _shared(known) if wanted(one)]
    for name in known:
        found += [shlex.quote(f"{name} {one.name}") for one in _own(known, name) if wanted(one)]
    return "|".join(found) or "''"


def _takes(words: tuple[str, ...], option: Option) -> bool:
    return option.values == words


def _case_parts(known: Levels, choice: str) -> dict[str, str]:
    """What both templates with `case` have in common; `choice` offers the words `{}`."""
    sets = {one.values for level in known.values() for one in level.options if one.values}
    choices = []
    for words in sorted(sets):
        patterns = _patterns(known, partial(_takes, words))
        choices.append(f"        {patterns}) {choice.format(' '.join(words))} ;;")
    return {
        "steps": "|".join(shlex.quote(name) for name in known if name),
        "files": _patterns(known, lambda one: one.is_file),
        "choices": "\n".join(choices),
        "values": _patterns(known, lambda one: one.values == () and not one.is_file),
    }


def _bash(known: Levels) -> str:
    def names(options: tuple[Option, ...]) -> str:
        return " ".join(one.name for one in options)

    lines = []
    for name in known:
        options = names(_own(known, name)) + " $shared" * _is_settled(known, name)
        words = " ".join(known[name].words)
        lines.append(f"        {shlex.quote(name)}) words='{words}' options=\"{options}\" ;;")
    parts = {"shared": names(_shared(known)), "levels": "\n".join(lines)}
    return _filled(_BASH, {**parts, **_case_parts(known, "words='{}'")})


def _zsh(known: Levels) -> str:
    def described(meanings: Mapping[str, str]) -> str:
        return " ".join(shlex.quote(f"{name}:{meaning}") for name, meaning in meanings.items())

    def options(some: tuple[Option, ...]) -> str:
        return described({one.name: one.meaning for one in some})

    lines = []
    for name, level in known.items():
        own = options(_own(known, name)) + " $shared" * _is_settled(known, name)
        commands = described(level.words)
        lines.append(f"        {shlex.quote(name)}) commands=({commands}) options=({own}) ;;")
    parts = {"shared": options(_shared(known)), "levels": "\n".join(lines)}
    return _filled(_ZSH, {**parts, **_case_parts(known, "compadd -- {}")})


def _fish(known: Levels) -> str:
    lines = []

    def add(names: Iterable[str], what: str, meaning: str) -> None:
        condition = "__lmtpd_at " + " ".join(map(_in_fish, names))
        lines.append(f"complete -c lmtpd -n {_in_fish(condition)} {what} -d {_in_fish(meaning)}")

    for one in _shared(known):
        add((name for name in known if _is_settled(known, name)), _taken_in_fish(one), one.meaning)
    for name, level in known.items():
        for word, meaning in level.words.items():
            add([name], f"-a {word}", meaning)
        for one in _own(known, name):
            add([name], _taken_in_fish(one), one.meaning)
    steps = " ".join(_in_fish(name) for name in known if name)
    return _filled(_FISH, {"steps": steps, "lines": "\n".join(lines)})


def _taken_in_fish(option: Option) -> str:
    name = f"-l {option.name.removeprefix('--')}"
    if option.values is None:
        return name
    if option.is_file:
        return f"{name} -r -F"
    return f"{name} -x" + (f" -a {_in_fish(' '.join(option.values))}" if option.values else "")


def _in_fish(text: str) -> str:
    """In quotation marks: fish escapes within them, where other shells do not."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS: Mapping[str, Callable[[Levels], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""Each shell that there is a script for."""
