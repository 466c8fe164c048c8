"""Completion in real shells: what a person who presses TAB is offered."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtpd import cli
from lmtpd.completion import SHELLS, levels, script
from lmtpd.settings import Config
from tests.support.command_line import lmtpd
from tests.support.components import require
from tests.support.processes import PROGRAMS_PATH

Offers = Callable[[str], set[str]]

# What bash does when TAB is pressed behind the last word, without a terminal. COMP_WORDBREAKS has
# the equals sign, and so --option=value is three words.
_BASH = """
source "$1"
compopt() { :; }  # speaks to readline, which is not here
line=$2
COMP_WORDS=(${line//=/ = })
[[ $line == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_lmtpd
printf '%s\\n' "${COMPREPLY[@]}"
"""

# A terminal of its own, where TAB is pressed and what is offered is listed.
_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "autoload -Uz compinit && compinit -u -D; source $1"
# What would be offered goes to a file, one a line, in the place of the screen.
zpty -w shell 'compadd() {
    local -a found
    builtin compadd -O found "$@"
    print -l -- $found >> '$3'
    builtin compadd "$@"
}
offer() { zle complete-word; print done >> '$3' }
zle -N offer
bindkey "^I" offer'
zpty -w -n shell "$2"$'\t'
repeat 300; do
    [[ $(tail -n 1 $3 2>/dev/null) == done ]] && break
    zpty -r -t shell output  # or it could write no more
    sleep 0.1
done
zpty -d shell
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a person sits, with a file to be found."""
    path = tmp_path_factory.mktemp("home")
    (path / "lmtp.crt").touch()
    return path


def _scripted(shell: str, folder: Path) -> Path:
    require(shell)
    path = folder / f"lmtpd.{shell}"
    path.write_text(lmtpd("completion", shell).stdout, "utf-8")
    return path


def _run(folder: Path, *command: object) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={"PATH": PROGRAMS_PATH, "HOME": str(folder), "LC_ALL": "C.UTF-8", "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "", done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["bash", "fish"])
def offers(request: pytest.FixtureRequest, folder: Path) -> Offers:
    """What a shell offers behind a line."""
    shell: str = request.param
    path = _scripted(shell, folder)

    def ask(line: str) -> set[str]:
        if shell == "bash":
            found = _run(folder, "bash", "--norc", "-c", _BASH, "bash", path, line)
        else:
            ask = f"source {path}; complete --do-complete=$argv[1]"
            found = _run(folder, "fish", "--no-config", "-c", ask, line)
        # fish tells the meaning behind a tabulator, and the whole of --option=value.
        words = (one.split("\t")[0] for one in found.splitlines())
        return {one.rpartition("=")[2] for one in words} - {""}

    return ask


COMMANDS = {"serve", "check-config", "check-recipient", "mailbox", "setup", "completion", "bridge"}


def test_commands(offers: Offers) -> None:
    assert offers("lmtpd ") >= COMMANDS
    assert offers("lmtpd check-") == {"check-config", "check-recipient"}
    assert offers("lmtpd mailbox ") >= {"add", "list"}
    assert offers("lmtpd setup post") == {"postfix"}
    assert offers("lmtpd bridge qmail") == {"qmail", "qmail-local"}


def test_settings_stand_behind_every_command_and_without_one(offers: Offers) -> None:
    settings = {row.option for row in Config.settings()}
    for line in ("lmtpd --", "lmtpd serve --", "lmtpd mailbox add --"):
        assert offers(line) >= settings
    assert offers("lmtpd --lmtp-po") == {"--lmtp-port"}


def test_options_belong_to_their_command(offers: Offers) -> None:
    assert offers("lmtpd check-recipient --fl") == {"--flush"}
    assert offers("lmtpd serve --fl") == set()
    assert offers("lmtpd completion --lmtp") == set()
    assert offers("lmtpd bridge pipe --to") == {"--to"}


def test_values(offers: Offers) -> None:
    assert offers("lmtpd --lmtp-tls-only t") == {"true"}
    assert offers("lmtpd --lmtp-tls-only=") == {"true", "false"}
    assert offers("lmtpd serve --lmtp-cert-path lm") >= {"lmtp.crt"}
    assert "lmtp.crt" not in offers("lmtpd serve --lmtp-port ")
    assert not COMMANDS & offers("lmtpd --lmtp-hostname ")


def test_a_value_does_not_end_the_command(offers: Offers) -> None:
    assert offers("lmtpd mailbox --lmtp-port 11201 ad") == {"add"}


def test_zsh(folder: Path) -> None:
    path = _scripted("zsh", folder)

    def ask(line: str) -> set[str]:
        found = folder / "found"
        found.unlink(missing_ok=True)
        _run(folder, "zsh", "-f", "-c", _ZSH, "zsh", path, line, found)
        return set(found.read_text("utf-8").split()) - {"done"}

    assert ask("lmtpd check-") == {"check-config", "check-recipient"}
    assert ask("lmtpd mailbox ") >= {"add", "list"}
    assert ask("lmtpd check-recipient --fl") == {"--flush"}
    assert ask("lmtpd --lmtp-po") == {"--lmtp-port"}
    assert ask("lmtpd --lmtp-tls-only=t") == {"true"}


def test_every_command_of_the_parser_is_there() -> None:
    known = levels(cli.command_line())
    for shell in SHELLS:
        text = script(shell, known)
        assert all(word in text for level in known.values() for word in level.words)
        assert all(one.name[2:] in text for level in known.values() for one in level.options)


def test_it_is_printed_where_the_configuration_is_wrong() -> None:
    result = lmtpd("completion", "bash", LMTP_PORT="25")
    assert result.returncode == os.EX_OK
    assert "complete -F _lmtpd lmtpd lmtpd.py" in result.stdout


def test_an_unknown_shell() -> None:
    result = lmtpd("completion", "tcsh")
    assert result.returncode == os.EX_USAGE
    assert "'bash', 'zsh', 'fish'" in result.stderr
    assert result.stdout == ""
