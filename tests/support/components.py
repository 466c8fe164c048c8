"""What a test does when a real component that it needs is not there.

Promises: on a person's machine such a test is skipped, and the reason says what to install; under
continuous integration (CI=true) it fails, for there a skipped check is a check that nobody makes.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from tests.components import COMPONENTS


def require(name: str) -> None:
    """The component is there, whole, or the test ends here."""
    component = COMPONENTS[name]
    missing = component.missing()
    if missing:
        lacking(f"{name} is missing ({', '.join(missing)}): {component.remedy()}")


def require_root(why: str) -> None:
    """We are root, or the test ends here."""
    if os.geteuid() != 0:
        lacking(f"not root: {why}")


def lacking(reason: str) -> NoReturn:
    """Something that the test needs is not to be had: the test ends here."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
