"""The C library, loaded once, for calls that `os` does not have."""

from __future__ import annotations

import ctypes
import functools


@functools.cache
def libc() -> ctypes.CDLL:
    """That of the process; a call holds no lock of Python's, its errno is ctypes.get_errno()."""
    return ctypes.CDLL(None, use_errno=True)
