"""The house stands on its floors: a module imports from its own floor or below, never in a circle.

docs/ARCHITECTURE.md draws the floors; this file is what keeps the drawing true.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lmtpd"

FLOORS = {
    0: ("protocol",),
    1: (
        "accounts",
        "environment",
        "failures",
        "file_mark",
        "histogram",
        "trust",
        "trusted_names",
        "proxy",
        "dns",
        "hostname",
        "libc",
        "client",
    ),
    2: ("recipients", "delivery"),
    3: (
        "config",
        "settings",
        "values",
        "mask",
        "worker_rights",
        "checks",
        "recipes",
        "log",
        "meter",
        "patience",
        "record",
        "services",
        "session",
    ),
    4: ("server",),
    5: (
        "wiring",
        "serving",
        "shipped",
        "bridge",
        "cli",
        "completion",
        "doctor",
        "self_signed",
        "try_it",
        "stall",
        "status",
        "testing",
        "terminal",
        "tools",
        "top",
        "__main__",
    ),
}

# Which floor's room, and which module, alone may import a package of others.
SOLE_USERS = {"gevent": "server", "configobj": "config", "dns": "dns", "idna": "protocol"}
SOLE_MODULES = {
    "cryptography": ("self_signed", "server.certificate"),
    "prometheus_client": ("status.metrics",),
    "rich": ("top.command", "top.frame", "top.section"),
    "urllib3": ("recipients.http",),
    "sqlalchemy": ("recipients.sql", "recipients.sql_engine"),
    "ldap3": ("recipients.ldap",),
}

# The wire touches nothing that waits or that a test would have to fake.
NOT_ON_THE_WIRE = {"os", "socket", "ssl", "time", "threading", "logging", "pathlib", "random"}


def _modules() -> dict[str, ast.Module]:
    """Every module below the package, by its dotted name without `lmtpd.`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name != "__init__":
            found[name] = ast.parse(path.read_text("utf-8"))
    return found


MODULES = _modules()


def _imports(name: str) -> set[str]:
    """Dotted names that a module imports; ours begin with `lmtpd.`."""
    # A package's own __init__ counts its dots from the package, a module from its parent.
    package = ["lmtpd", *name.split(".")][:-1]
    found = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, node.module] if node.module else base)
            found.update(_resolved(source, alias.name) for alias in node.names)
    return found


def _resolved(source: str, name: str) -> str:
    """`from a import b` is a.b if that is a module of ours, else a."""
    inner = f"{source}.{name}".removeprefix("lmtpd.")
    return f"lmtpd.{inner}" if inner in MODULES or f"{inner}.__init__" in MODULES else source


def _ours(name: str) -> set[str]:
    """The modules of ours that a module imports."""
    inner = {one.removeprefix("lmtpd.") for one in _imports(name) if one.startswith("lmtpd.")}
    return {one if one in MODULES else f"{one}.__init__" for one in inner}


def _floor(name: str) -> int:
    root = name.split(".")[0]
    return next(floor for floor, rooms in FLOORS.items() if root in rooms)


@pytest.mark.parametrize("name", MODULES)
def test_imports_nothing_from_above(name: str) -> None:
    above = {one for one in _ours(name) if _floor(one) > _floor(name)}
    assert not above


def test_no_circles() -> None:
    graph = {name: _ours(name) - {name} for name in MODULES}
    assert list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", [name for name in MODULES if _floor(name) == 0])
def test_the_wire_needs_the_standard_library_and_idna_only(name: str) -> None:
    roots = {one.split(".")[0] for one in _imports(name)} - {"lmtpd", "idna"}
    assert roots <= sys.stdlib_module_names
    assert not roots & NOT_ON_THE_WIRE


@pytest.mark.parametrize("name", MODULES)
def test_packages_of_others_have_one_user(name: str) -> None:
    root = name.split(".")[0]
    used = {one.split(".")[0] for one in _imports(name)} & SOLE_USERS.keys()
    assert all(SOLE_USERS[package] == root for package in used)
    optional = {one.split(".")[0] for one in _imports(name)} & SOLE_MODULES.keys()
    assert all(name in SOLE_MODULES[package] for package in optional)


@pytest.mark.parametrize("name", [name for name in MODULES if _floor(name) <= 2])
def test_below_the_session_nobody_logs_or_reads_settings(name: str) -> None:
    assert not _ours(name) & {"log", "config", "settings", "services", "session"}


def test_only_the_wiring_names_the_store() -> None:
    """And the store of homes, and what looks into mailboxes for a command: all are maildirs."""
    namers = {
        name
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "MaildirStore"
    }
    assert namers == {"wiring", "delivery.homes", "tools.spot"}
