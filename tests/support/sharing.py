"""How several processes share the tests (`make test`): each takes whole files.

Of some folders it takes all files: what their tests share takes long to make.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

_WHOLE_FOLDERS = ("tests/backends", "tests/package")


class Sharing(LoadFileScheduling):
    """Hands out the tests."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder in _WHOLE_FOLDERS else file
