"""A short soak: everything that goes wrong in years within half a minute, under load.

Each trouble has its own tests; here they come together, and upon one another.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support import components
from tests.support.server import PROJECT

_PATIENCE_S = 400.0


def test_what_was_promised_is_kept_through_trouble_upon_trouble() -> None:
    components.require_root("mounts are made by root only")
    components.require("ext4")
    components.require("postgresql")
    ended = subprocess.run(
        [sys.executable, "bench/soak.py", "--minutes", "0.5"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
    )
    if ended.returncode == os.EX_UNAVAILABLE:
        components.lacking(ended.stderr)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "every promise was kept" in ended.stdout
