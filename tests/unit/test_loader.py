"""Hooks are found by their names, and one that cannot be had stops the start with its name."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.loader import ENTRY_POINTS, HookError, load_hooks
from lmtpd.recipients.verdict import RcptContext, RecipientVerifier, Verdict

CONFIG = {"suffix": "@example.org"}
CONTEXT = RcptContext(Peer(""))
ALICE = Address("alice", "example.org")


class Shipped:
    """A hook of ours."""

    def __init__(self, config: dict[str, str]) -> None:
        self.config = config

    def verify(self, address: Address, context: RcptContext) -> Verdict | None:  # noqa: ARG002
        return Verdict.accept(address.mailbox)


def broken(_: dict[str, str]) -> RecipientVerifier:
    raise OSError(2, "No such file", "/etc/table")


def named_broken(_: dict[str, str]) -> RecipientVerifier:
    raise HookError("hook named-broken: lmtp-something is not set")


SHIPPED = {"ours": Shipped, "broken": broken, "named-broken": named_broken}

MODULE = """
from lmtpd.recipients.verdict import Verdict

class Verifier:
    def __init__(self, config):
        self.config = config

    def verify(self, address, context):
        return Verdict.accept(address.local + self.config["suffix"])

class Namespace:
    Inner = Verifier

def build(config):
    return Verifier(config)

def build_nothing(config):
    return None

class OddVerify:
    verify = "not callable"
    def __init__(self, config): ...

def fail(config):
    raise KeyError("lmtp-acme-url")

not_callable = 7
"""


@pytest.fixture
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution as pip would have installed it, and a module that cannot be imported."""
    (tmp_path / "acme_hooks.py").write_text(MODULE)
    (tmp_path / "acme_broken.py").write_text("import acme_that_is_not_there\n")
    info = tmp_path / "acme_hooks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-hooks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{ENTRY_POINTS}]\n"
        "acme = acme_hooks:Verifier\n"
        "acme-build = acme_hooks:build\n"
        "acme-broken = acme_broken:Verifier\n"
        "acme-missing = acme_hooks:Missing\n"
        "ours = acme_hooks:fail\n"
        "[console_scripts]\n"
        "acme-script = acme_hooks:build\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in ("acme_hooks", "acme_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()


def test_nothing_to_load() -> None:
    assert load_hooks([], SHIPPED, CONFIG) == []


def test_a_shipped_hook_gets_the_configuration() -> None:
    ((name, hook),) = load_hooks(["ours"], SHIPPED, CONFIG)
    assert name == "ours"
    assert isinstance(hook, Shipped)
    assert hook.config is CONFIG


@pytest.mark.usefixtures("_site")
@pytest.mark.parametrize(
    "name",
    [
        "acme",
        "acme-build",
        "acme_hooks:Verifier",
        "acme_hooks:build",
        "acme_hooks:Namespace.Inner",
    ],
)
def test_a_hook_from_elsewhere(name: str) -> None:
    ((own_name, hook),) = load_hooks([name], SHIPPED, CONFIG)
    assert own_name == name
    assert hook.verify(ALICE, CONTEXT) == Verdict.accept("alice@example.org")


@pytest.mark.usefixtures("_site")
def test_the_order_is_that_of_the_setting_and_a_shipped_name_comes_first() -> None:
    names = ["acme", "ours", "acme_hooks:build"]
    loaded = load_hooks(names, SHIPPED, CONFIG)
    assert [name for name, _ in loaded] == names
    assert isinstance(loaded[1][1], Shipped)


@pytest.mark.usefixtures("_site")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", ["FileNotFoundError", "No such file"]),
        ("named-broken", ["lmtp-something is not set"]),
        ("unheard-of", ["unknown", "broken, named-broken, ours", "package.module:name"]),
        ("", ["unknown"]),
        ("acme-script", ["unknown"]),
        ("acme-broken", ["ModuleNotFoundError", "acme_that_is_not_there"]),
        ("acme-missing", ["AttributeError", "Missing"]),
        ("acme_broken:Verifier", ["ModuleNotFoundError", "acme_that_is_not_there"]),
        ("acme_nowhere:Verifier", ["ModuleNotFoundError", "acme_nowhere"]),
        ("acme_hooks:Missing", ["AttributeError", "Missing"]),
        ("acme_hooks:fail", ["KeyError", "lmtp-acme-url"]),
        ("acme_hooks:not_callable", ["TypeError"]),
        ("acme_hooks:", ["TypeError"]),
        (":Verifier", ["ValueError"]),
        ("acme hooks:Verifier", ["ValueError"]),
        ("acme_hooks:build_nothing", ["no method verify"]),
        ("acme_hooks:OddVerify", ["no method verify"]),
    ],
)
def test_a_hook_that_cannot_be_had_is_named(name: str, words: list[str]) -> None:
    with pytest.raises(HookError) as caught:
        load_hooks(["ours", name], SHIPPED, CONFIG)
    text = str(caught.value)
    assert text.startswith(f"hook {name}: ")
    assert all(word in text for word in words)
    assert "\n" not in text
