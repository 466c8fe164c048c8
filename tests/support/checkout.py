"""A copy of the project's files: what builds a package leaves its traces there, and not in ours."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.server import PROJECT

# What is in no clone: environments, caches, and what other builds left.
_NOT_OURS = (".git", ".venv", "*_cache", "__pycache__", ".hypothesis", "build", "*.egg-info", ".c*")


def copy_of_project(place: Path) -> Path:
    """Make it, in a folder that is not there yet."""
    shutil.copytree(PROJECT, place, ignore=shutil.ignore_patterns(*_NOT_OURS), symlinks=True)
    shutil.rmtree(place / "debian" / "lmtpd", ignore_errors=True)
    return place
