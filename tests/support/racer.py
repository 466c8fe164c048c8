"""A user of the machine who races: he changes directories while mail is put into them."""

from __future__ import annotations

import itertools
import time
from contextlib import suppress
from pathlib import Path

_PEACE_EVERY = 300
_PEACE_S = 0.02
"""Without it he can win every time, and nothing would be promised that could be lost."""


class Racer:
    """Swaps a directory for a link and back, as fast as he can, and takes breath now and then."""

    def __init__(self, path: Path, target: Path, *, comes_back: bool) -> None:
        """Args:
        path: of the directory, which somebody else may make again at any moment.
        target: of the link.
        comes_back: the same directory; else it goes away, and with it what is in it.
        """
        self._path = path
        self._target = target
        self._comes_back = comes_back
        self._numbers = itertools.count()

    def turn(self) -> None:
        number = next(self._numbers)
        if number % _PEACE_EVERY == 0:
            time.sleep(_PEACE_S)
        aside = self._path.with_name(f"aside{number}")
        self._path.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            self._path.rename(aside)
        with suppress(FileExistsError):
            self._path.symlink_to(self._target)
            self._path.unlink()
        if self._comes_back:
            # Where the server was quicker, its directory stays, and the other one too.
            with suppress(OSError):
                aside.rename(self._path)
